"""The base of every layer and model: finds its parameters, calls its forward, reads and writes its state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self

from neurenix._typing import DTypeLike
from neurenix.checkpoint import note
from neurenix.errors import ArgumentError, DTypeError, StateError
from neurenix.memory import get_memory_limit
from neurenix.nn import hooks, walking
from neurenix.nn.moving import Moving
from neurenix.nn.registering import Registering
from neurenix.normalization import Normalization
from neurenix.ops import inputs, state
from neurenix.tensor import Tensor

if TYPE_CHECKING:
    from neurenix.memory_plan import MemoryPlan

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


_MAY_BE_MISSING = ("num_batches_tracked",)  # old files of PyTorch, and other libraries', have no count: it stays as it is


class LoadResult(NamedTuple):
    """What ``load_state_dict(strict=False)`` passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(Moving, Registering, hooks.Hooked):
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
    _arguments: Arguments

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the arguments: a file keeps them, and no subclass has to call ``super().__init__()``."""
        self = super().__new__(cls)
        self._arguments = (_copied(args), _copied(kwargs))
        return self

    def constructor_arguments(self) -> Arguments:
        """Positional and keyword arguments that make a module of this structure; files keep them.

        Modules whose structure changes after construction override this.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.nn.Conv2d(3, 8, 3, padding=1).constructor_arguments()
        ((3, 8, 3), {'padding': 1})
        """
        return self._arguments

    def _missing_forward(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError(f"{type(self).__name__}: expected a method forward(self, ...), got none; define it")

    forward = _missing_forward

    # --- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` on tensors: plain arrays become some, of the parameters' type where they are floating."""
        tensor = len(args) == 1 and isinstance(args[0], Tensor) and not kwargs  # what nearly every call has
        if not (tensor or self._takes_arrays) and (inputs.is_plain(args) or (kwargs and inputs.is_plain(tuple(kwargs.values())))):
            args, kwargs = self._as_tensors(args, kwargs)
        if args and isinstance(args[0], Tensor) and args[0].dtype.kind == "u" and self._float_type() is not None:
            inputs.refuse_raw_image(type(self).__name__, args[0])
        note(self)
        if get_memory_limit() is None:
            return self._call_hooked(args, kwargs) if self._is_hooked() else self.forward(*args, **kwargs)
        from neurenix.memory_plan import within_limit

        with within_limit(self, args, kwargs):
            return self._call_hooked(args, kwargs) if self._is_hooked() else self.forward(*args, **kwargs)

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

    def receptive_field(self, channels: int | None = None) -> Any:
        """How far the pixels reach that an output depends on, see :func:`neurenix.multiscale.receptive_field`.

        Returns
        -------
        ReceptiveField
            ``before`` and ``behind``, input pixels (rows, columns) on either side of an output's; ``multiple``, where windows may begin;
            ``scale``, output pixels for each of the input's.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Conv2d(1, 4, 3, padding=1), nx.nn.MaxPool2d(2), nx.nn.Conv2d(4, 1, 3, padding=1))
        >>> with nx.set_float32_precision("ieee"):
        ...     field = model.receptive_field()
        >>> field.before, field.behind, [float(s) for s in field.scale]
        ((4, 4), (4, 4), [0.5, 0.5])
        """
        from neurenix.passes import receptive_field

        return receptive_field(self, channels)

    def plan(self, image_shape: Sequence[int], memory: int | str | None = None, **settings: Any) -> Any:
        """Tile, memory, work and time of predicting a large image, before it begins: see :func:`neurenix.slides.planning.plan`.

        Examples
        --------
        >>> import neurenix as nx
        >>> with nx.set_float32_precision("ieee"):
        ...     plan = nx.multiscale.UNet(1, 1, features=[4, 8]).plan((2000, 2000), tile=(500, 1000), measure=False)
        >>> plan.tile, plan.tiles, plan.seconds is None
        ((500, 1000), 8, True)
        """
        from neurenix.slides.planning import plan

        return plan(self, image_shape, memory, **settings)

    def summary(self, *inputs: Any, depth: int | None = None) -> Any:
        """A table of the layers, for inputs or their shapes, down to ``depth`` modules inside each other; see :func:`neurenix.nn.summary`.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Conv2d(3, 8, 3, padding=1), nx.nn.ReLU())
        >>> table = model.summary((1, 3, 32, 32))
        >>> table.parameters, table.multiply_adds, table.activation_bytes  # 8 (27 + 1); 27 * 8 * 32 * 32; 2 maps of float32
        (224, 221184, 65536)
        """
        from neurenix.nn.summary import summary

        return summary(self, *inputs, depth=depth)

    def memory_plan(self, input_shape: Sequence[int], training: bool = False, *, optimizer: Any = None, loss: Any = None) -> MemoryPlan:
        """How much memory a run takes at its peak, said before it runs, as a table: see :func:`neurenix.memory_plan.memory_plan`.

        Examples
        --------
        >>> import neurenix as nx
        >>> plan = nx.multiscale.UNet(1, 1, features=[4, 8]).memory_plan((1, 1, 64, 64), training=True)
        >>> plan.peak == sum(plan.parts.values())
        True
        """
        from neurenix.memory_plan import memory_plan

        return memory_plan(self, input_shape, training, optimizer=optimizer, loss=loss)

    # --- modes

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below it to training mode, or to evaluation mode.

        Raises
        ------
        ArgumentError
            If ``mode`` is not a bool.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Linear(2, 2), nx.nn.Dropout(0.5))
        >>> [m.training for m in model.eval().modules()], [m.training for m in model.train().modules()]
        ([False, False, False], [True, True, True])
        """
        if not isinstance(mode, bool):
            raise ArgumentError(f"train: expected mode True or False, got {mode!r}; pass a bool")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch this module and all below it to evaluation mode: dropout passes everything, batch norms use their running statistics.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Dropout(0.5).eval()
        >>> model(nx.ones(4)).tolist()
        [1.0, 1.0, 1.0, 1.0]
        """
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or freeze them.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Linear(4, 3), nx.nn.Linear(3, 2))
        >>> _ = model[0].requires_grad_(False)  # fine-tune the last layer only
        >>> model.num_parameters(), model.num_parameters(trainable_only=True)
        (23, 8)
        """
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or with ``set_to_none=False`` set them to zero.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer = nx.nn.Linear(2, 1, bias=False)
        >>> layer(nx.ones(1, 2)).sum().backward()
        >>> layer.weight.grad.tolist()
        [[1.0, 1.0]]
        >>> layer.zero_grad()
        >>> layer.weight.grad is None
        True
        """
        for p in self.parameters():
            p.grad = None if set_to_none or p.grad is None else Tensor(shape=p.shape, dtype=p.dtype, device=p.device)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module, those below first, and give this module back.

        Examples
        --------
        >>> import neurenix as nx
        >>> def start_at_zero(module):
        ...     if isinstance(module, nx.nn.Linear):
        ...         nx.nn.init.zeros_(module.weight)
        >>> model = nx.nn.Sequential(nx.nn.Linear(2, 2), nx.nn.ReLU()).apply(start_at_zero)
        >>> model[0].weight.tolist()
        [[0.0, 0.0], [0.0, 0.0]]
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # --- state

    def _named_state(self) -> dict[str, Tensor]:
        return dict(walking.tensors(self, Module, False))

    def _saved_state(self) -> dict[str, Tensor]:
        return {name: t for name, t in self._named_state().items() if getattr(t, "persistent", True)}

    def state_dict(self, *, prefix: str = "") -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, as views that cannot be written; they follow the module's values.

        ``prefix`` stands before every name.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Conv2d(3, 8, 3), nx.nn.BatchNorm2d(8))
        >>> {name: t.shape for name, t in model.state_dict().items()}
        {'0.weight': (8, 3, 3, 3), '0.bias': (8,), '1.weight': (8,), '1.bias': (8,), '1.running_mean': (8,), '1.running_var': (8,), '1.num_batches_tracked': ()}
        """
        return {prefix + name: state.read_only(t) for name, t in self._saved_state().items()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Copy values into parameters and buffers.

        Parameters
        ----------
        state_dict : mapping of str to Tensor or array
            Also another library's, where the layers have its names and shapes.
        strict : bool
            Whether a missing or unexpected entry is an error; a wrong shape or type always is, and a batch norm's missing count of
            batches never.

        Returns
        -------
        LoadResult
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        StateError
            With every entry that is wrong. Nothing has been written then.

        Examples
        --------
        >>> import numpy as np, neurenix as nx
        >>> model, other = nx.nn.Linear(2, 1), nx.nn.Linear(2, 1)
        >>> model.load_state_dict(other.state_dict())
        LoadResult(missing_keys=[], unexpected_keys=[])
        >>> nx.equal(model.weight, other.weight)
        True
        >>> model.load_state_dict({"weight": np.zeros((1, 2), np.float32)}, strict=False)
        LoadResult(missing_keys=['bias'], unexpected_keys=[])
        """
        if not isinstance(state_dict, Mapping):
            raise DTypeError(
                f"load_state_dict: expected a mapping of names to arrays, got {type(state_dict).__name__}; pass model.state_dict()"
            )
        own = self._saved_state()
        missing = [n for n in own if n not in state_dict and n.rpartition(".")[2] not in _MAY_BE_MISSING]
        unexpected = [str(n) for n in state_dict if n not in own]
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
        """What stands between the parentheses of a module without children: its constructor's arguments, or named settings.

        Override it to say more, or less.

        Examples
        --------
        >>> import neurenix as nx
        >>> class Scale(nx.nn.Module):
        ...     def __init__(self, factor):
        ...         self.factor = factor
        >>> Scale(2.0), nx.nn.AvgPool2d(2)
        (Scale(2.0), AvgPool2d(kernel_size=2, stride=2, padding=0))
        """
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
