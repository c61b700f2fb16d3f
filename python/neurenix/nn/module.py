"""The base of every layer and model: finds its parameters, calls its forward, reads and writes its state."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self, TypeVar

from neurenix._typing import DeviceLike, DTypeLike
from neurenix.checkpoint import note
from neurenix.errors import ArgumentError, DTypeError, StateError
from neurenix.memory import get_memory_limit
from neurenix.nn import hooks, walking
from neurenix.nn.parameter import Buffer, Parameter
from neurenix.nn.registering import Registering
from neurenix.normalization import Normalization
from neurenix.ops import inputs, state
from neurenix.ops.convert import target
from neurenix.tensor import Tensor

if TYPE_CHECKING:
    from neurenix.memory_plan import MemoryPlan

T = TypeVar("T")
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class LoadResult(NamedTuple):
    """What ``load_state_dict(strict=False)`` passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(Registering, hooks.Hooked):
    """Base class of layers and models.

    Write ``forward`` and assign parameters, buffers and other modules to attributes, also inside lists, tuples and dicts:
    that is all. ``super().__init__()`` may be called and need not be. A name that starts with ``_`` is not state.

    Attributes
    ----------
    training : bool
        Whether layers such as dropout behave as in training; set by :meth:`train` and :meth:`eval`.
    input_normalization : Normalization or None
        What :func:`neurenix.predict` does to an image first; assign one and it is saved with the model.

    Examples
    --------
    >>> import neurenix as nx
    >>> class Shift(nx.nn.Module):
    ...     def __init__(self, n):
    ...         self.by = nx.nn.Parameter([0.5] * n)
    ...     def forward(self, x):
    ...         return x + self.by
    >>> Shift(3).num_parameters()
    3
    """

    training: bool = True
    input_normalization: Normalization | None = None
    forward: Callable[..., Any]
    _takes_arrays: bool = False  # whether forward wants plain arrays as they are
    _shown: tuple[str, ...] = ()  # attributes that ``repr`` shows
    _makes_segments: bool = False  # whether forward runs parts of itself through checkpoint.segment
    _arguments: Arguments

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the arguments: a file keeps them, and no subclass has to call ``super().__init__()``."""
        self = super().__new__(cls)
        self._arguments = (_copied(args), _copied(kwargs))
        return self

    def constructor_arguments(self) -> Arguments:
        """Positional and keyword arguments that make a module of this structure; files keep them.

        Modules whose structure changes after construction override this.
        """
        return self._arguments

    def _missing_forward(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError(f"{type(self).__name__}: expected a method forward(self, ...), got none; define it")

    forward = _missing_forward

    # --- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` on tensors: plain arrays become some, of the parameters' type where they are floating."""
        if not self._takes_arrays and (inputs.is_plain(args) or (kwargs and inputs.is_plain(tuple(kwargs.values())))):
            args, kwargs = self._as_tensors(args, kwargs)
        if args and isinstance(args[0], Tensor) and args[0].dtype.kind == "u" and self._float_type() is not None:
            inputs.refuse_raw_image(type(self).__name__, args[0])
        note(self)
        if get_memory_limit() is None:
            return self._call_hooked(args, kwargs) if self.is_hooked() else self.forward(*args, **kwargs)
        from neurenix.memory_plan import within_limit

        with within_limit(self, args, kwargs):
            return self._call_hooked(args, kwargs) if self.is_hooked() else self.forward(*args, **kwargs)

    def _float_type(self) -> DTypeLike | None:
        first = inputs.first_float(self.parameters())
        return None if first is None else first.dtype

    def _as_tensors(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        """Plain floating arrays take the parameters' type, or that of a tensor beside them."""
        dtype = self._float_type()
        if dtype is None:
            beside = inputs.first_float((args, tuple(kwargs.values())))
            dtype = None if beside is None else beside.dtype
        return inputs.as_input(args, dtype), {k: inputs.as_input(v, dtype) for k, v in kwargs.items()}

    # --- walking

    def _entries(self, kind: type[T]) -> list[tuple[str, T]]:
        """Attributes of a kind with their names, in order, also those inside lists, tuples and dicts."""
        return walking.entries(self, kind)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Modules that are attributes of this one, each once."""
        seen: set[int] = set()
        for name, child in self._entries(Module):
            if id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """Modules that are attributes of this one, each once."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """Itself and all modules below with their dotted names, a shared one once unless asked otherwise."""
        return iter(walking.modules(self, Module, remove_duplicate, prefix))

    def modules(self) -> Iterator[Module]:
        """Itself and all modules below, a shared one once."""
        return (m for _, m in self.named_modules())

    def has_segments(self) -> bool:
        """Whether this module or one below runs in parts under ``enable_gradient_checkpointing``."""
        return any(m._makes_segments for m in self.modules())

    def get_submodule(self, target: str) -> Module:
        """The module with this dotted name; ``""`` is this module.

        Raises
        ------
        ArgumentError
            If there is none.
        """
        for name, module in self.named_modules(remove_duplicate=False):
            if name == target:
                return module
        raise ArgumentError(f"get_submodule: expected the dotted name of a module, got {target!r}; see named_modules()")

    def _named(self, kind: type[T], prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, T]]:
        return iter(walking.tensors(self, Module, remove_duplicate, prefix, recurse, kind))

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names, in the order of the attributes."""
        return self._named(Parameter, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Buffer]]:
        """All buffers with their dotted names, in the order of the attributes."""
        return self._named(Buffer, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """All buffers, each once."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def receptive_field(self, channels: int | None = None) -> Any:
        """How far the pixels reach that an output depends on, see :func:`neurenix.multiscale.receptive_field`."""
        from neurenix.passes import receptive_field

        return receptive_field(self, channels)

    def plan(self, image_shape: Sequence[int], memory: int | str | None = None, **settings: Any) -> Any:
        """Tile, memory, work and time of predicting a large image, before it begins: see :func:`neurenix.slides.planning.plan`."""
        from neurenix.slides.planning import plan

        return plan(self, image_shape, memory, **settings)

    def num_parameters(self, trainable_only: bool = False) -> int:
        """Number of values in all parameters, or in those that take a gradient."""
        return sum(p._array.size for p in self.parameters() if p.requires_grad or not trainable_only)

    def summary(self, *inputs: Any, depth: int | None = None) -> Any:
        """A table of the layers, see :func:`neurenix.nn.summary`."""
        from neurenix.nn.summary import summary

        return summary(self, *inputs, depth=depth)

    def memory_plan(self, input_shape: Sequence[int], training: bool = False, *, optimizer: Any = None, loss: Any = None) -> MemoryPlan:
        """How much memory a run takes at its peak, said before it runs, as a table: see :func:`neurenix.memory_plan.memory_plan`."""
        from neurenix.memory_plan import memory_plan

        return memory_plan(self, input_shape, training, optimizer=optimizer, loss=loss)

    # --- modes

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below it to training mode, or to evaluation mode."""
        if not isinstance(mode, bool):
            raise ArgumentError(f"train: expected mode True or False, got {mode!r}; pass a bool")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and all below it to evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or freeze them."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or with ``set_to_none=False`` set them to zero."""
        for p in self.parameters():
            p.grad = None if set_to_none or p.grad is None else Tensor(shape=p.shape, dtype=p.dtype, device=p.device)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module, those below first, and give this module back."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # --- elsewhere

    def to(self, *args: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None, non_blocking: bool = False) -> Self:  # noqa: ARG002
        """Move parameters and buffers to a device, or floating ones to another floating type, in place; ``non_blocking`` has no effect.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.nn.Module().to("cpu").to(nx.float64).num_parameters()
        0
        """
        dtype, device = target(args, dtype, device)
        if dtype is not None and not state.is_float_type(dtype):
            raise DTypeError(f"to: expected a floating type for a module, got {dtype!r}; pass e.g. nx.float64")
        for t in itertools.chain(self.parameters(), self.buffers()):
            state.move(t, dtype, device)
        return self

    def float(self) -> Self:
        """Make parameters and floating buffers float32."""
        return self.to(dtype="float32")

    def double(self) -> Self:
        """Make parameters and floating buffers float64."""
        return self.to(dtype="float64")

    def half(self) -> Self:
        """Make parameters and floating buffers float16."""
        return self.to(dtype="float16")

    def cpu(self) -> Self:
        """Move parameters and buffers to the CPU."""
        return self.to(device="cpu")

    def type(self, dst_type: DTypeLike) -> Self:
        """Make parameters and floating buffers of another floating type."""
        return self.to(dtype=dst_type)

    def cuda(self, index: int = 0) -> Self:
        """Move parameters and buffers to a GPU."""
        return self.to(device=f"cuda:{index}")

    # --- state

    def _named_state(self) -> dict[str, Tensor]:
        return dict(walking.tensors(self, Module, False))

    def _saved_state(self) -> dict[str, Tensor]:
        return {name: t for name, t in self._named_state().items() if getattr(t, "persistent", True)}

    def state_dict(self, *, prefix: str = "") -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, as views that cannot be written; they follow the module's values."""
        return {prefix + name: state.read_only(t) for name, t in self._saved_state().items()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Copy values into parameters and buffers.

        Parameters
        ----------
        state_dict : mapping of str to Tensor or array
            Also another library's, where the layers have its names and shapes.
        strict : bool
            Whether a missing or unexpected entry is an error; a wrong shape or type always is.

        Returns
        -------
        LoadResult
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        StateError
            With every entry that is wrong. Nothing has been written then.
        """
        if not isinstance(state_dict, Mapping):
            raise DTypeError(
                f"load_state_dict: expected a mapping of names to arrays, got {type(state_dict).__name__}; pass model.state_dict()"
            )
        own = self._saved_state()
        missing, unexpected = [n for n in own if n not in state_dict], [str(n) for n in state_dict if n not in own]
        shared = [n for n in own if n in state_dict]
        values = [state.as_value(state_dict[n], own[n]) for n in shared]
        wrong = [_misfit(n, own[n], v) for n, v in zip(shared, values, strict=True) if own[n].shape != v.shape or own[n].dtype != v.dtype]
        problems = (
            (missing and [f"missing {', '.join(missing)}"]) + (unexpected and [f"unexpected {', '.join(unexpected)}"]) if strict else []
        )
        if problems or wrong:
            text = "; ".join([*problems, *wrong])
            hint = "build the model with the arguments it was saved with" + (
                ", or pass strict=False to skip the names that differ" if problems else ""
            )
            raise StateError(f"load_state_dict: expected the {len(own)} entries of {type(self).__name__}, got {text}; {hint}")
        state.overwrite([own[n] for n in shared], values)
        return LoadResult(missing, unexpected)

    # --- printing

    def extra_repr(self) -> str:
        """What stands between the parentheses of a module without children: its constructor's arguments, or named settings."""
        if self._shown:
            return ", ".join(f"{name}={getattr(self, name)!r}" for name in self._shown)
        args, kwargs = self._arguments
        return ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())])

    def _lines(self) -> list[str]:
        """A line or more for each child."""
        return [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self._entries(Module)]

    def __repr__(self) -> str:
        children = self._lines()
        tells = not children or type(self).extra_repr is not Module.extra_repr
        extra = self.extra_repr().split("\n") if tells else [""]
        if not children and len(extra) == 1:
            return f"{type(self).__name__}({extra[0]})"
        return "\n  ".join([f"{type(self).__name__}(", *filter(None, extra), *children]) + "\n)"


def _copied(value: Any) -> Any:
    """``value`` with its lists, tuples and dicts copied, so that the caller's later changes do not reach it."""
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_copied(v) for v in value)
    return value


def _misfit(name: str, own: Tensor, value: Tensor) -> str:
    if own.shape != value.shape:
        return f"wrong shape for {name}: {value.shape} where the model has {own.shape}"
    return f"wrong type for {name}: {value.dtype} where the model has {own.dtype}"
