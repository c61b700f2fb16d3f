"""The tape: who made a tensor, and how a gradient flows back through that.

A :class:`Node` is one operation's run. Edges point backwards only: a rule captures the arrays it needs and never the output
tensor, so there are no cycles and memory is free the moment it is not needed. Backward walks the nodes newest first by
their creation number: a node runs once all uses of its output have. First order only.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

from neurenix import anomaly, backend, window
from neurenix._typing import Array
from neurenix.backend import room
from neurenix.errors import GraphError, InternalError, ShapeError
from neurenix.layout import accumulate, add_to, copy, is_only_ours, made
from neurenix.recording import (
    _recording,
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    is_grad_enabled as is_grad_enabled,
    no_grad as no_grad,
    set_grad_enabled as set_grad_enabled,
)
from neurenix.signals import undisturbed
from neurenix.window_rules import Local

if TYPE_CHECKING:
    from neurenix.tensor import Tensor

Vjp: TypeAlias = Callable[[Any], Sequence[Any]]
Place: TypeAlias = "Tensor | Node"  # where a gradient goes: a leaf, or what made a result
Watcher: TypeAlias = "Callable[[str, Array, tuple[Tensor, ...]], None]"
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
_order = itertools.count()


class Node:
    """One operation's run: its name, what it was made of, and the rule that pulls a gradient back to that.

    To the tape a node stands for its result, whose shape and hooks it has: values that no rule needs are free.
    """

    __slots__ = ("_grad_hooks", "dtype", "inputs", "op", "order", "shape", "versions", "vjp")
    _version, _window, requires_grad = 0, None, True

    def __init__(self, op: str, inputs: tuple[Place, ...], vjp: Vjp, result: Array) -> None:
        self.op, self.order, self.shape, self.dtype = op, next(_order), result.shape, result.dtype
        self.inputs: tuple[Place, ...] = tuple(t._node or t for t in inputs)
        self.vjp: Vjp | None = vjp
        self.versions = tuple(t._version for t in inputs)
        self._grad_hooks: dict[int, Any] | None = None  # see Tensor.register_hook

    @property
    def _node(self) -> Node:
        return self

    def pull(self, held: list[Array], keep: bool, is_added: bool) -> list[tuple[Place, Any]]:
        """Gradients of the inputs that want one, given the output's, arrays unless all are added; the node is spent unless ``keep``."""
        if self.vjp is None:
            raise GraphError(
                f"backward: expected the graph behind {self.op!r}, got one that was freed; pass retain_graph=True to the first call"
            )
        for t, version in zip(self.inputs, self.versions, strict=True):
            if t._version != version:
                raise GraphError(
                    f"backward: expected the input of {self.op!r} as it was, got one overwritten since; run the forward pass again"
                )
        seen, gradients = held[0] if anomaly.is_detecting() else None, self.vjp(held.pop())  # only the rule holds that one now
        if not is_added or seen is not None:
            gradients = [made(g) for g in gradients]
        if len(gradients) != len(self.inputs):
            raise InternalError(f"internal: the rule of {self.op!r} gave {len(gradients)} gradients for {len(self.inputs)} inputs")
        if seen is not None:
            anomaly.check_gradients(self.op, gradients, seen)
        found = [(t, g) for t, g in zip(self.inputs, gradients, strict=True) if g is not None and t.requires_grad]
        for t, g in found:
            if g.shape != t.shape or g.dtype != t.dtype:
                raise InternalError(f"internal: the rule of {self.op!r} gave {g.dtype}{g.shape} for {t.dtype}{t.shape}")
        if not keep:
            self.vjp, self.inputs, self.versions = None, (), ()
        return found


room.recording = is_grad_enabled  # for the advice when a GPU's memory is full


def next_order() -> int:
    """The creation number that a node would get now."""
    return next(_order)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Tell ``watcher`` of every operation that runs inside: its name, its result and its inputs."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def is_watched() -> bool:
    """Whether somebody is told of every operation here."""
    return _watcher.get() is not None


def record(op: str, data: Array, inputs: tuple[Tensor, ...], vjp: Vjp, local: Local | None = None) -> Tensor:
    """Wrap an operation's result; remember the rule when an input wants a gradient.

    ``local`` says, for the last two axes, which inputs an output is made of, where these are near it.
    """
    from neurenix.tensor import Tensor

    if anomaly.is_detecting():
        anomaly.check_results(op, (data,), [t._array for t in inputs])
    if (watcher := _watcher.get()) is not None:
        watcher(op, data, inputs)
    out = Tensor._wrap(data)
    if window.is_followed():
        window.settle(op, out, inputs, local)
    if _recording.get() and any(t.requires_grad for t in inputs):
        out.requires_grad, out._node = True, Node(op, inputs, vjp, data)
    return out


def record_many(op: str, datas: Sequence[Array], inputs: tuple[Place, ...], vjp: Vjp) -> tuple[Tensor, ...]:
    """Wrap several results of one run. The rule gets a list of gradients, ``None`` where none flows."""
    from neurenix.tensor import Tensor

    if anomaly.is_detecting():
        anomaly.check_results(op, datas, [t._array for t in inputs if not isinstance(t, Node)])
    if window.is_followed():
        window.settle(op, Tensor._wrap(datas[0]), [t for t in inputs if not isinstance(t, Node)], None)
    if not (_recording.get() and any(t.requires_grad for t in inputs)):
        return tuple(Tensor._wrap(d) for d in datas)
    gathered: dict[int, Array] = {}  # by the number of the result; the hub, older than the results, runs when all have given
    hub = Tensor._wrap(backend.new(datas[0], (0,)))
    hub.requires_grad = True

    def pull_all(_: Array) -> Sequence[Any]:
        gradients = [gathered.get(i) for i in range(len(datas))]
        gathered.clear()
        return vjp(gradients)

    hub._node = Node(op, inputs, pull_all, hub._array)

    def put(index: int) -> Vjp:
        def rule(gradient: Array) -> Sequence[Any]:
            gathered[index] = gradient
            return (backend.new(gradient, (0,), hub.dtype),)

        return rule

    return tuple(record(op, data, (hub,), put(i)) for i, data in enumerate(datas))


class _Sums:
    """Gradients on their way: the first by reference, later ones are added to it in place, or to a copy where others have it too."""

    def __init__(self) -> None:
        self.entries: dict[int, tuple[Place, Array, bool]] = {}
        self.queue: list[tuple[int, int]] = []

    def add(self, t: Place, gradient: Any) -> None:
        t = t._node or t
        key = id(t)
        if key not in self.entries:
            self.entries[key] = (t, made(gradient), False)
            if t._node is not None:
                heapq.heappush(self.queue, (-t._node.order, key))
            return
        _, total, owned = self.entries[key]
        self.entries[key] = (t, None, False)  # nothing of the sum is held here while it is looked at
        if not (owned or is_only_ours(total)):
            total = copy(total)
        add_to(total, gradient)
        self.entries[key] = (t, total, True)

    def run(self, keep: bool, give: Callable[[Place, Array], None], spent: Callable[[tuple[Place, ...]], None] | None = None) -> None:
        """Run the nodes, newest first, until none is left.

        ``give`` takes every gradient that a rule makes, ``spent`` the inputs of each node that ran.
        """
        while self.queue:
            t, gradient, _ = self.entries.pop(heapq.heappop(self.queue)[1])
            if t._node is None:
                raise InternalError("internal: a queued tensor lost its node")
            held, inputs = [gradient if t._grad_hooks is None else _seen(t, gradient)], t._node.inputs
            gradient = source = part = None
            for source, part in t._node.pull(held, keep, give == self.add):
                give(source, part)
            if spent is not None:
                spent(inputs)
            del t, inputs, source, part


def _seen(t: Place, gradient: Array) -> Array:
    """The gradient of ``t`` after every hook has seen, and perhaps replaced, it."""
    from neurenix.tensor import Tensor

    for hook in tuple((t._grad_hooks or {}).values()):
        changed = hook(Tensor._wrap(gradient))
        if changed is None:
            continue
        if not isinstance(changed, Tensor) or changed.shape != t.shape or changed.dtype != t.dtype:
            raise GraphError(f"register_hook: expected None or a gradient {t.dtype}{t.shape}, got {changed!r}; return one that fits")
        gradient = changed._array
    return gradient


def pull_parts(roots: Sequence[tuple[Tensor, Array]], stops: Sequence[Place]) -> list[list[Array]]:
    """Pull back to ``stops`` and give what each of them gets, one gradient a use, in the order in which they came."""
    parts: dict[int, list[Array]] = {id(t): [] for t in stops}
    sums = _Sums()

    def give(t: Place, gradient: Array) -> None:
        t = t._node or t
        if id(t) in parts:
            parts[id(t)].append(gradient)
        else:
            sums.add(t, gradient)

    for root, gradient in roots:
        give(root, gradient)
    sums.run(False, give)
    return [parts[id(t)] for t in stops]


def backward(roots: Sequence[tuple[Tensor, Array]], retain_graph: bool = False, ready: Callable[[Tensor], None] | None = None) -> None:
    """Add to every leaf's ``grad`` the gradient of the sum of roots, each weighted by its cotangent.

    ``ready`` is told of each leaf once its gradient is whole, which may be long before the end.
    """
    sums = _Sums()
    for root, gradient in roots:
        sums.add(root, gradient)
    if ready is None:
        sums.run(retain_graph, sums.add)
    else:
        uses = _uses([root for root, _ in roots])

        def spent(inputs: tuple[Place, ...]) -> None:
            for t in inputs:
                if not isinstance(t, Node) and t.requires_grad:
                    uses[id(t)] -= 1
                    if not uses[id(t)] and id(t) in sums.entries:
                        _deliver(sums.entries, id(t))
                        ready(t)

        sums.run(retain_graph, sums.add, spent)
    with undisturbed():
        while sums.entries:  # one by one: what a leaf does not keep is free before the next is copied
            leaf = _deliver(sums.entries, next(iter(sums.entries)))
            if ready is not None and leaf.requires_grad:
                ready(leaf)


def cotangent(t: Tensor, gradient: Any, op: str = "backward") -> Array:
    """The weight of each element of a result from which gradients are asked for: 1 for a single one, else ``gradient``."""
    from neurenix.tensor import _ones_like, as_tensor

    if not t.requires_grad:
        raise GraphError(
            f"{op}: expected a tensor that was recorded, got one without a graph; set requires_grad=True on what it is made from"
        )
    if gradient is None and t._array.size != 1:
        raise ShapeError(f"{op}: expected one element, got shape {t.shape}; call .sum() or .mean() first, or pass gradient=")
    weight = _ones_like(t) if gradient is None else as_tensor(gradient, t)._array
    if weight.shape != t.shape or weight.dtype != t.dtype:
        raise ShapeError(f"{op}: expected a gradient {t.dtype}{t.shape}, got {weight.dtype}{weight.shape}; give it that shape and type")
    return weight


def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool = False, *, allow_unused: bool = False
) -> tuple[Tensor | None, ...]:
    """Gradients of a result with respect to tensors it was made from, leaves or not, without touching anybody's ``grad``.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What to differentiate; the sum of several.
    inputs : Tensor or sequence of Tensor
    grad_outputs : Tensor or sequence of Tensor or None, optional
        Weights of the outputs' elements; may be left out for outputs of one element.
    retain_graph : bool
        Keep the graph for another call.
    allow_unused : bool
        Give ``None`` for an input that no output depends on, instead of an error.

    Returns
    -------
    tuple of Tensor
        One gradient an input, of its shape, dtype and device.

    Raises
    ------
    GraphError
        If an output was not recorded, or an input takes no gradient or was not used.
    ShapeError
        If a weight is missing or does not fit.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([1.0, 2.0], requires_grad=True)
    >>> nx.autograd.grad((x * x).sum(), x)
    (tensor([2., 4.]),)
    >>> x.grad is None
    True
    """
    from neurenix.tensor import Tensor

    ends, wanted = (tuple(t) if isinstance(t, (tuple, list)) else (t,) for t in (outputs, inputs))
    weights = tuple(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else (grad_outputs,) * len(ends)
    for t in (*ends, *wanted):
        if not isinstance(t, Tensor) or not t.requires_grad:
            raise GraphError(
                f"grad: expected tensors that take a gradient, got {_named(t)}; set requires_grad=True before the forward pass"
            )
    if len(weights) != len(ends):
        raise ShapeError(
            f"grad: expected {len(ends)} grad_outputs, one an output, got {len(weights)}; pass None for outputs of one element"
        )
    totals = _collect([(t, cotangent(t, w, "grad")) for t, w in zip(ends, weights, strict=True)], wanted, retain_graph)
    found = [totals.get(id(t._node or t)) for t in wanted]
    for t, g in zip(wanted, found, strict=True):
        if g is None and not allow_unused:
            raise GraphError(f"grad: expected inputs that the outputs depend on, got {_named(t)} that was not used; pass allow_unused=True")
    return tuple(None if g is None else Tensor._wrap(copy(g)) for g in found)


def _named(t: Any) -> str:
    return f"one of shape {t.shape}" if hasattr(t, "requires_grad") else type(t).__name__


def _collect(roots: Sequence[tuple[Tensor, Array]], wanted: Sequence[Tensor], keep: bool) -> dict[int, Array]:
    """What flows to each wanted tensor, by the number of its place; it flows on from there, to others that are wanted."""
    totals: dict[int, Array] = {}
    places, sums = {id(t._node or t): t for t in wanted}, _Sums()

    def give(t: Place, gradient: Array) -> None:
        t = t._node or t
        if id(t) in totals:
            accumulate(totals[id(t)], gradient)
        elif id(t) in places:
            totals[id(t)] = copy(gradient)
        sums.add(t, gradient)

    for root, gradient in roots:
        give(root, gradient)
    sums.run(keep, give)
    return {k: _seen(places[k], g) if places[k].is_leaf and places[k]._grad_hooks is not None else g for k, g in totals.items()}


def _deliver(entries: dict[int, tuple[Any, Array, bool]], key: int) -> Tensor:
    """Add a gradient to a leaf's: the array itself, where nobody else has it."""
    from neurenix.tensor import Tensor

    leaf: Tensor
    leaf, gradient, owned = entries.pop(key)
    alone = owned or (is_only_ours(gradient) and _is_whole(gradient, leaf._array))  # no rule, no leaf, no part of a larger array
    if not leaf.requires_grad:
        return leaf
    if leaf._grad_hooks is not None:
        gradient, alone = _seen(leaf, gradient), False
    if leaf.grad is None:
        leaf.grad = Tensor._wrap(gradient if alone else copy(gradient))
    else:
        accumulate(leaf.grad._array, gradient)
    return leaf


def _is_whole(gradient: Array, of: Array) -> bool:
    """Whether an array is all of what it is a view of, and lies as the leaf does: a channels-last map's gradient."""
    base: Any = gradient.base
    return not hasattr(base, "dtype") or bool(base.size == gradient.size and gradient.strides == of.strides)


def _uses(roots: Sequence[Tensor]) -> dict[int, int]:
    """How often each leaf is an input of an operation behind the roots."""
    uses: dict[int, int] = {}
    waiting = [t._node for t in roots if t._node is not None]
    seen = {id(node) for node in waiting}
    while waiting:
        for t in waiting.pop().inputs:
            if not isinstance(t, Node):
                uses[id(t)] = uses.get(id(t), 0) + 1
            elif id(t) not in seen:
                seen.add(id(t))
                waiting.append(t)
    return uses
