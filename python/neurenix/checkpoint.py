"""Gradient checkpointing: run a part twice instead of keeping what its gradient needs.

The first run is recorded only to learn which leaves the part used; its graph is dropped, and the part stands on the tape
as one node. Backward runs it again under the same random numbers, precision and training flags, and pulls the gradient
through. Every single contribution to an input or leaf is handed on by itself and in order, so sums round as in a plain run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar, Token, copy_context
from typing import Any

from neurenix import autograd, precision, random
from neurenix._typing import Array
from neurenix.errors import DTypeError, GraphError
from neurenix.ops.norm import keep_running_statistics
from neurenix.tensor import Tensor

_enabled: ContextVar[bool] = ContextVar("checkpointing", default=False)
_noted: ContextVar[list[tuple[Any, bool]] | None] = ContextVar("noted", default=None)


class enable_gradient_checkpointing(ContextDecorator):  # noqa: N801 - the API document's name
    """Context manager under which models keep less for backward and compute it a second time.

    The parts are each level of a multi-scale model, each scale, and each ``Sequential`` that holds none of these. Gradients
    are the same bits as without; statistics move once; dropout repeats its masks. Backward may run after the ``with``.

    Examples
    --------
    >>> import neurenix as nx
    >>> model, image = nx.multiscale.UNet(1, 1, features=[4, 8]), nx.ones(1, 1, 16, 16)
    >>> model(image).sum().backward()
    >>> kept = [p.grad.numpy().copy() for p in model.parameters()]
    >>> model.zero_grad()
    >>> with nx.enable_gradient_checkpointing():
    ...     loss = model(image).sum()
    >>> loss.backward()
    >>> all((p.grad.numpy() == g).all() for p, g in zip(model.parameters(), kept))
    True
    """

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def _recreate_cm(self) -> enable_gradient_checkpointing:
        return type(self)()

    def __enter__(self) -> None:
        self._tokens.append(_enabled.set(True))

    def __exit__(self, *_: object) -> None:
        _enabled.reset(self._tokens.pop())


def is_checkpointing() -> bool:
    """Whether models run their parts through :func:`checkpoint` here."""
    return _enabled.get()


def note(module: Any) -> None:
    """Remember, inside a checkpointed part, in which mode a module and those below it ran."""
    noted = _noted.get()
    if noted is not None:
        noted.extend((m, m.training) for m in module.modules())


def segment(fn: Callable[..., Any], *xs: Any) -> Any:
    """``fn(*xs)``, checkpointed where :class:`enable_gradient_checkpointing` is on; parts of it are not parts again."""
    return checkpoint(_Whole(fn), *xs) if _enabled.get() else fn(*xs)


class _Whole:
    """A function whose parts keep what they need: one part, not several."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn, self.__self__ = fn, getattr(fn, "__self__", None)

    def __call__(self, *xs: Any) -> Any:
        token = _enabled.set(False)
        try:
            return self.fn(*xs)
        finally:
            _enabled.reset(token)


def checkpoint(fn: Callable[..., Any], *xs: Any) -> Any:
    """``fn(*xs)`` without keeping what its gradient needs; backward calls ``fn`` again.

    Parameters
    ----------
    fn : callable
        Takes and gives tensors, also in lists, tuples and dicts. Parameters that it uses are found. It must do the same
        when called again.
    *xs : Tensor or anything else
        Its arguments.

    Returns
    -------
    What ``fn`` returned.

    Raises
    ------
    DTypeError
        If ``fn`` cannot be called.
    GraphError
        In backward, if the second call gave other shapes than the first.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([3.0], requires_grad=True)
    >>> nx.checkpoint(lambda t: t * t, x).backward()
    >>> x.grad.item()
    6.0
    """
    if not callable(fn):
        raise DTypeError(f"checkpoint: expected a callable, got {type(fn).__name__}; pass a module or function")
    return _Part(fn, xs).first_run() if autograd.is_grad_enabled() else fn(*xs)


class _Part:
    """One checkpointed call: what it was given, what it gave, and the state it ran under."""

    def __init__(self, fn: Callable[..., Any], xs: tuple[Any, ...]) -> None:
        self.fn, self.xs = fn, xs
        self.originals = _unique(t for t in tensors_in(xs) if t.requires_grad)
        self.context = copy_context()
        self.precision, self.random_state = precision.get_float32_precision(), random.get_rng_state()
        self.modes: list[tuple[Any, bool]] = []
        self.uses: list[tuple[int | autograd.Place, int]] = []  # an original's number or a place outside, and how often
        self.shapes: list[tuple[int, ...]] = []

    def run(self) -> tuple[Any, list[Tensor], list[Tensor], int]:
        """Call ``fn`` on stand-ins that the graph ends at: the result, its recorded tensors, the stand-ins, the first number."""
        stand_ins = [_stand_in(t) for t in self.originals]
        known = {id(t): s for t, s in zip(self.originals, stand_ins, strict=True)}
        start = autograd.next_order()
        with random.run_again("checkpoint"):
            result = self.fn(*_mapped(self.xs, lambda t: known.get(id(t), t)))
        found = list(tensors_in(result))
        found += [t._logits[1] for t in found if t._logits is not None]
        return result, _unique(t for t in found if t._node is not None and t._node.order > start), stand_ins, start

    def first_run(self) -> Any:
        """Run for the result and what it used; put one node on the tape."""
        outer = _noted.get()
        token = _noted.set(self.modes)
        try:
            owner = getattr(self.fn, "__self__", None)
            if hasattr(owner, "modules") and hasattr(owner, "training"):
                note(owner)
            result, made, stand_ins, start = self.run()
        finally:
            _noted.reset(token)
        if outer is not None:
            outer.extend(self.modes)
        numbers = {id(s): i for i, s in enumerate(stand_ins)}
        self.uses = [(numbers.get(id(t), t), count) for t, count in _stops(made, start)]
        self.shapes = [t.shape for t in made]
        back = {id(s): t for s, t in zip(stand_ins, self.originals, strict=True)}
        if made:
            inputs = tuple(self.originals[t] if isinstance(t, int) else t for t, count in self.uses for _ in range(count))
            outs = autograd.record_many("checkpoint", [t._array for t in made], inputs, self.pull)
            back |= {id(t): out for t, out in zip(made, outs, strict=True)}
        for t in made:
            if t._logits is not None:
                kind, source, axis = t._logits
                back[id(t)]._logits = (kind, back.get(id(source), source), axis)
        return _mapped(result, lambda t: back.get(id(t), t))

    def pull(self, gradients: Sequence[Array | None]) -> Sequence[Array | None]:
        """Run again and give every contribution to every input, in the order of the node's inputs."""
        return self.context.copy().run(self.second_run, gradients)

    def second_run(self, gradients: Sequence[Array | None]) -> Sequence[Array | None]:
        """As the first run, in a copy of its context."""
        _noted.set(None)
        precision.override(self.precision)
        with random.replay(self.random_state), keep_running_statistics(), _as_before(self.modes):
            _, made, stand_ins, _ = self.run()
        if [t.shape for t in made] != self.shapes:
            raise GraphError(
                f"checkpoint: expected the second run to give {self.shapes}, got {[t.shape for t in made]}; let fn do the same each time"
            )
        stops = [stand_ins[t] if isinstance(t, int) else t for t, _ in self.uses]
        parts = autograd.pull_parts([(t, g) for t, g in zip(made, gradients, strict=True) if g is not None], stops)
        found: list[Array | None] = []
        for (_, count), got in zip(self.uses, parts, strict=True):
            found += [*got, *[None] * (count - len(got))]
        return found


@contextmanager
def _as_before(modes: list[tuple[Any, bool]]) -> Iterator[None]:
    """The training flags of the first run; these and what modules remember in ``_`` names come back afterwards."""
    now = [(m, m.training, {k: v for k, v in vars(m).items() if k.startswith("_")}) for m, _ in modes]
    try:
        for m, training in modes:
            m.training = training
        yield
    finally:
        for m, training, remembered in now:
            m.training = training
            for name in [k for k in vars(m) if k.startswith("_") and k not in remembered]:
                delattr(m, name)
            vars(m).update(remembered)


def _stand_in(t: Tensor) -> Tensor:
    s = Tensor._wrap(t._array)
    s.requires_grad, s._logits = True, t._logits
    return s


def _stops(made: list[Tensor], start: int) -> list[tuple[autograd.Place, int]]:
    """Where the part's graph ends, made from outside or leaves, and how many operations of the part use each."""
    uses: dict[int, list[Any]] = {}
    stack = [t._node for t in made if t._node is not None]
    seen = {id(node) for node in stack}
    while stack:
        for t in stack.pop().inputs:
            if isinstance(t, autograd.Node) and t.order > start:
                if id(t) not in seen:
                    seen.add(id(t))
                    stack.append(t)
            elif t.requires_grad:
                uses.setdefault(id(t), [t, 0])[1] += 1
    return [(t, count) for t, count in uses.values()]


def _unique(tensors: Any) -> list[Tensor]:
    return list({id(t): t for t in tensors}.values())


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of a value, also those in lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for v in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(v)


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {k: _mapped(v, change) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(v, change) for v in value))
    if type(value) in (list, tuple):
        return type(value)(_mapped(v, change) for v in value)
    return value
