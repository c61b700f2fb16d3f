"""Plans of memory: how much a run of a model takes at its peak, found by running all of it but the arithmetic.

A copy of the model runs while kernels are skipped and the extension counts: arrays come from a pool that hands out addresses of
the same size classes as the real one, keeps and gives back as that does, and touches no memory.
"""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from neurenix import autograd, backend, memory, random
from neurenix.backend.kernel import is_skipping, skipped
from neurenix.checkpoint import enable_gradient_checkpointing, is_checkpointing, tensors_in
from neurenix.errors import ArgumentError, DeviceError, NeurenixWarning, OutOfMemoryError, ShapeError
from neurenix.ops._derived import Joint
from neurenix.precision import get_float32_precision
from neurenix.system import get_num_threads
from neurenix.tensor import Tensor

_ONE_AT_A_TIME = threading.RLock()
_MIB = 1 << 20
_FIRST_USE = 3 << 20  # what a process grows by when kernels run for the first time: pages of their code, stacks of threads


class MemoryPlan(NamedTuple):
    """What a run is expected to take at its peak; printed as a table.

    Attributes
    ----------
    title : str
        What was planned.
    peak : int
        Bytes of the whole process, as the system counts them (``VmHWM``).
    parts : dict of str to int
        What it is made of: ``base`` (interpreter, libraries and whatever else the process holds), ``weights`` (with buffers),
        ``packed weights`` (kept for the kernels), ``gradients``, ``optimizer``, ``maps`` (input, outputs, and what is kept for
        backward), ``scratch`` (of kernels and their threads), ``cached`` (kept for reuse).
    arrays : int
        Bytes of arrays alive at once at most, beside the weights: what :func:`neurenix.set_memory_limit` counts.
    checkpointed : int or None
        The peak under :class:`neurenix.enable_gradient_checkpointing`; None where nothing is recorded.
    """

    title: str
    peak: int
    parts: dict[str, int]
    arrays: int
    checkpointed: int | None

    def __str__(self) -> str:
        rows = [(name, size) for name, size in self.parts.items() if size] + [("peak", self.peak)]
        if self.checkpointed is not None:
            rows.append(("peak with gradient checkpointing", self.checkpointed))
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {size / _MIB:9.1f}" for name, size in rows]
        return "\n".join([self.title, f"{'':<{width}}  {'MiB':>9}", *lines])


class _Input(NamedTuple):
    """Stands for an input that is made inside the plan."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    requires_grad: bool = False

    def made(self) -> Tensor:
        """A tensor without values."""
        t = Tensor._wrap(backend.empty(self.shape, self.dtype, "cpu"))
        t.requires_grad = self.requires_grad
        return t


class _Run(NamedTuple):
    """What is run: the model, on what, and how."""

    model: Any
    inputs: list[Any]
    options: dict[str, Any]
    training: bool  # the model's mode
    recorded: bool
    optimizer: Any = None
    loss: Callable[[Any], Tensor] | None = None


class _Found(NamedTuple):
    """What one dry run found, in bytes."""

    resident: int
    parts: dict[str, int]
    arrays: int


def memory_plan(
    model: Any, input_shape: Sequence[int], training: bool = False, *, optimizer: Any = None, loss: Callable[[Any], Tensor] | None = None
) -> MemoryPlan:
    """How much memory a run of a model takes at its peak, said before it runs; nothing is computed.

    Parameters
    ----------
    model : Module
        On the CPU. It is left as it was: a copy is planned with.
    input_shape : tuple of int
        Of its input, the batch among them.
    training : bool
        Whether to plan training steps, backward pass included, instead of inference without gradients.
    optimizer : Optimizer, or a function of parameters such as ``nx.optim.Adam``, optional
        Takes its step too; with ``training`` only.
    loss : callable, optional
        Makes a loss of the model's output; the mean by default. A loss of targets holds those beside.

    Returns
    -------
    MemoryPlan
        Printed as a table; ``peak`` and the other numbers are bytes. With ``training`` it also says the peak under
        :class:`neurenix.enable_gradient_checkpointing`.

    Raises
    ------
    ShapeError, ArgumentError, DeviceError
        If the shape or the other arguments do not fit, or the model is on a GPU; what the model itself raises for such an input.

    Notes
    -----
    Counted are a process's peak as the system has it (``VmHWM`` in ``/proc/self/status``): what it holds now beside our arrays, and
    a run from weights alone. The number of threads is that in use. Code of the model that looks at values sees meaningless ones.

    Examples
    --------
    >>> import neurenix as nx
    >>> plan = nx.multiscale.UNet(1, 1, features=[4, 8]).memory_plan((1, 1, 64, 64), training=True, optimizer=nx.optim.Adam)
    >>> plan.peak == sum(plan.parts.values())
    True
    >>> plan.checkpointed <= plan.peak
    True
    """
    shape = tuple(input_shape)
    if not shape or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in shape):
        raise ShapeError(f"memory_plan: expected sizes of at least 1, got {input_shape!r}; pass e.g. (1, 3, 512, 512)")
    if not isinstance(training, bool):
        raise ArgumentError(f"memory_plan: expected training True or False, got {training!r}; pass a bool")
    if optimizer is not None and not training:
        raise ArgumentError("memory_plan: expected training=True with an optimizer, got training=False; leave one out")
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), np.dtype(np.float32))
    run = _Run(model, [_Input(shape, dtype)], {}, training, training, optimizer, loss)
    base = _base()
    found = _dry(run, checkpointing=False)
    lower = _dry(run, checkpointing=True).resident + base if training else None
    return MemoryPlan(_title(run, shape), base + found.resident, {"base": base, **found.parts}, found.arrays, lower)


def _title(run: _Run, shape: tuple[int, ...]) -> str:
    how = "training" if run.recorded else "inference"
    if run.optimizer is not None:
        name = getattr(run.optimizer, "__name__", type(run.optimizer).__name__)
        how += f" with {name}"
    return f"{type(run.model).__name__} on {shape}, {how}, {get_num_threads()} threads"


def _base() -> int:
    """Bytes of the process now that are not the pool's."""
    return max(0, memory.held_by_process() - memory.resident()) + _FIRST_USE


def _mean(output: Any) -> Tensor:
    """The loss where none is given: the means of all outputs."""
    found = [o.mean() for o in tensors_in(output) if o.is_floating_point()]
    return sum(found[1:], found[0])


@contextmanager
def _planned() -> Iterator[list[int]]:
    """Context in which arrays and kernels only count; behind it the list has the most bytes of arrays that were alive at once."""
    with _ONE_AT_A_TIME, skipped(but_memory=True), random.replay(random.get_rng_state()), warnings.catch_warnings():
        warnings.simplefilter("ignore", NeurenixWarning)  # of values, which have no meaning here
        with memory.counted() as most:
            yield most


def _dry(run: _Run, checkpointing: bool) -> _Found:
    """Run everything but the arithmetic, twice: what is made in the first step, such as an optimizer's state, is there in the second."""
    model, optimizer = run.model, run.optimizer
    for t in (*model.parameters(), *model.buffers()):
        if t.device != "cpu":
            raise DeviceError(f"memory_plan: expected a model on the CPU, got parameters on {t.device}; plan before model.to(device)")
    with _planned() as most:
        model, optimizer = _copies(model, optimizer)
        model.zero_grad()
        model.train(run.training)
        inputs = [_made(v) for v in run.inputs]
        options = {name: _made(v) for name, v in run.options.items()}
        begin = memory.count_anew()
        with enable_gradient_checkpointing() if checkpointing else nullcontext():
            call = partial(model, *inputs, **options)
            _train(run, call, model, optimizer) if run.recorded else _infer(call)
        resident, parts = _counted(model, optimizer)
    return _Found(resident, parts, most[0] - begin)


def _copies(model: Any, optimizer: Any) -> tuple[Any, Any]:
    """A model and its optimizer in the plan's memory, without those who watch them."""
    if optimizer is None or hasattr(optimizer, "param_groups"):
        model, optimizer = copy.deepcopy((model, optimizer))
    else:
        model = copy.deepcopy(model)
        optimizer = optimizer(model.parameters())
    for module in model.modules():
        module._hooks = module._pre_hooks = module._backward_hooks = module._backward_pre_hooks = None
    if optimizer is not None:
        optimizer._before_step, optimizer._after_step = {}, {}
    return model, optimizer


def _made(value: Any) -> Any:
    return value.made() if isinstance(value, _Input) else value


def _infer(call: Callable[[], Any]) -> None:
    with autograd.no_grad():
        for _ in range(2):
            output = call()  # noqa: F841 - as in a loop, where the one before is held until the next is there


def _train(run: _Run, call: Callable[[], Any], model: Any, optimizer: Any) -> None:
    with autograd.enable_grad():
        for _ in range(2):
            model.zero_grad()
            output = call()
            loss = (run.loss or _mean)(output)
            if loss.requires_grad:
                loss.backward()
            if optimizer is not None:
                optimizer.step()


def _addresses(arrays: Iterator[Any]) -> set[int]:
    return {int(a.__array_interface__["data"][0]) for a in arrays if isinstance(a, np.ndarray)}


def _counted(model: Any, optimizer: Any) -> tuple[int, dict[str, int]]:
    """The most that was resident, and what was alive when most was; the rest is cached."""
    state = [*model.parameters(), *model.buffers()]
    kinds = {
        "weights": _addresses(t._array for t in state),
        "packed weights": _addresses(a for t in state for a in _packed(t)),
        "gradients": _addresses(t.grad._array for t in state if t.grad is not None),
        "optimizer": _addresses(a for s in getattr(optimizer, "state", {}).values() for a in s.values()),
    }
    belongs = {serial: kind for kind, found in kinds.items() for serial, start, _, _ in memory.counted_blocks() if start in found}
    peak, blocks, kept = memory.counted_peak()
    parts = dict.fromkeys((*kinds, "maps", "scratch", "cached"), 0)
    for serial, _, size, of_kernel in blocks:
        parts[belongs.get(serial, "scratch" if of_kernel else "maps")] += size
    parts["scratch"] += kept
    parts["cached"] = peak - sum(parts.values())
    return peak, parts


_inside: ContextVar[bool] = ContextVar("inside_a_checked_run", default=False)
_needs: WeakKeyDictionary[Any, dict[tuple[Any, ...], int]] = WeakKeyDictionary()


@contextmanager
def within_limit(model: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Iterator[None]:
    """Context of a model's call under a memory limit: the outermost one is planned, and refused before it computes if it cannot fit.

    Raises
    ------
    OutOfMemoryError
        With the numbers.
    """
    if _inside.get() or is_skipping():
        yield
        return
    _require(model, [_stand_in(t) for t in inputs], {name: _stand_in(t) for name, t in options.items()})
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def _stand_in(value: Any) -> Any:
    return _Input(value.shape, value.dtype, value.requires_grad) if isinstance(value, Tensor) else value


def _require(model: Any, inputs: list[Any], options: dict[str, Any]) -> None:
    limit, live = memory.get_memory_limit(), memory.memory_stats()["live"]
    parameters = list(model.parameters())
    if limit is None or any(t.device != "cpu" for t in (*parameters, *model.buffers())):
        return
    recorded = autograd.is_grad_enabled() and any(p.requires_grad for p in parameters)
    run = _Run(model, inputs, options, model.training, recorded)
    kept = [t.grad._array for t in parameters if t.grad is not None]
    kept += [a for t in (*parameters, *model.buffers()) for a in _packed(t)]
    need = _need(run) - sum(a.nbytes for a in kept)
    if live + need > limit:
        sizes = " and ".join(str(i.shape) for i in inputs if isinstance(i, _Input))
        what = f"a {'step' if recorded else 'run'} of {type(model).__name__} on {sizes}"
        advice = "gradient checkpointing" if recorded else "predict_tiled, no_grad"
        raise OutOfMemoryError(
            f"memory limit: expected {what} to fit {limit / _MIB:.1f} MiB, got {live / _MIB:.1f} in use and {need / _MIB:.1f} more to have;"
            f" use a smaller batch or image, {advice}, or raise the limit by nx.set_memory_limit"
        )


def _need(run: _Run) -> int:
    """Bytes that a run takes at most beside the model and its input; planned once for each kind of run."""
    how = (run.training, run.recorded, is_checkpointing(), get_float32_precision(), get_num_threads())
    key = (*how, *map(repr, run.inputs), repr(run.options), *(p.requires_grad for p in run.model.parameters()))
    known = _needs.setdefault(run.model, {})
    if key not in known:
        try:
            known[key] = _dry(run, checkpointing=is_checkpointing()).arrays
        except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError):  # it looks at values: the pool itself keeps the limit
            known[key] = 0
    return known[key]


def _packed(t: Tensor) -> Iterator[Any]:
    layouts = () if t._derived is None else t._derived.layouts.values()
    return (layout.array if isinstance(layout, Joint) else layout for layout in layouts)
