"""The tensor: one array, and what the tape knows of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from neurenix import autograd, backend, layout, lazy
from neurenix._methods import TensorMethods
from neurenix._typing import Array, DeviceLike, DTypeLike
from neurenix.backend import devices
from neurenix.backend.devices import default_device as default_device
from neurenix.errors import ArgumentError, DTypeError, ShapeError

_NUMBERS = "biuf"


def _host_array(data: Any) -> np.ndarray[Any, Any]:
    """A NumPy array as we keep it: exact type, native bytes, aligned, a number type."""
    if isinstance(data, np.ma.MaskedArray):
        raise DTypeError("Tensor: expected a plain array, got a masked array; pass data.filled(value) and give the mask to the loss")
    array = np.asarray(data)
    if type(array) is not np.ndarray and not hasattr(array, "emulated"):
        array = array.view(np.ndarray)
    if array.dtype.kind not in _NUMBERS or array.dtype.itemsize > 8:
        raise DTypeError(
            f"Tensor: expected float16, float32, float64, an integer type or bool, got {array.dtype}; convert it with .astype(np.float32)"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.aligned or any(s % array.itemsize for s in array.strides):
        array = array.copy()
    return array


def is_foreign(data: Any) -> bool:
    """Whether ``data`` is another library's array or tensor, which gives its values by ``__array__``."""
    return hasattr(type(data), "__array__") and not isinstance(data, (Tensor, np.ndarray, np.generic)) and not backend.is_array(data)


class Tensor(TensorMethods):
    """An n-dimensional array that remembers how it was made.

    Parameters
    ----------
    data : array, sequence of numbers or Tensor, optional
        An array, also another library's on the CPU, is taken without a copy and keeps its element type; a list becomes float32.
    shape : tuple of int, optional
        Instead of ``data``: a tensor of zeros.
    dtype : numpy dtype, optional
        float32 where neither this nor an array says otherwise.
    device : str, optional
        "cpu", "cuda" or "cuda:N"; the default device if ``None``.
    requires_grad : bool
        Whether ``backward`` is to compute its gradient; floats only.

    Raises
    ------
    ArgumentError
        If neither or both of ``data`` and ``shape`` are given.
    DTypeError
        If the elements are not numbers, or integers are to take a gradient.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.Tensor(shape=(1, 3, 4, 4)).shape
    (1, 3, 4, 4)
    >>> nx.Tensor([1, 2]).dtype
    dtype('float32')
    """

    __slots__ = ("__weakref__", "_array", "_derived", "_exposed", "_grad_hooks", "_logits", "_node", "_version", "_window",
                 "grad", "requires_grad")  # fmt: skip

    _array: Array
    _node: autograd.Node | None
    _logits: tuple[str, Tensor, int] | None  # ("sigmoid" or "softmax", what it was made of, the softmax's axis)
    _derived: Any  # kernels' own layouts of these values, see ops._derived
    _exposed: bool  # whether the user holds a writable view, so that the values may change behind the version
    _grad_hooks: dict[int, Any] | None  # of a leaf, see register_hook
    _window: Any  # which part of a larger map this is, see neurenix.window
    grad: Tensor | None
    requires_grad: bool

    def __init__(
        self,
        data: Any = None,
        *,
        shape: int | tuple[int, ...] | list[int] | None = None,
        dtype: DTypeLike | None = None,
        device: DeviceLike | None = None,
        requires_grad: bool = False,
    ) -> None:
        if (data is None) == (shape is None):
            given = "neither" if data is None else "both"
            raise ArgumentError(f"Tensor: expected either data or shape=, got {given}; pass one of them")
        data = np.asarray(data) if is_foreign(data) else data
        if shape is not None:
            array: Array = _zeros(shape, dtype)
        elif isinstance(data, Tensor):
            array = data._array
        elif backend.is_array(data):
            array = _host_array(data) if isinstance(data, np.ndarray) else data
        else:
            array = _from_sequence(data, np.float32 if dtype is None else dtype)
        if dtype is not None:
            array = layout.cast(array, np.dtype(dtype))
        stays = lazy.is_loading() or isinstance(data, Tensor) or backend.is_array(data)
        where = device if device is not None or stays else default_device()
        self._fill(array if where is None else backend.to_device(array, where))
        self._exposed = backend.is_array(data) or getattr(data, "_exposed", False)  # whoever gave the array may write to it
        if requires_grad:
            self.requires_grad_(True)

    def _fill(self, array: Array) -> None:
        self._array, self.grad, self.requires_grad = array, None, False
        self._node, self._version, self._logits = None, 0, None
        self._derived, self._exposed, self._grad_hooks, self._window = None, False, None, None

    @classmethod
    def _wrap(cls, array: Array) -> Tensor:
        """A tensor around an array of ours, without checks."""
        self: Tensor = object.__new__(Tensor)
        self._fill(array)
        return self

    # --- what it is

    @property
    def data(self) -> Array:
        """The array itself, without a copy; writing to it changes the tensor.

        Examples
        --------
        >>> import neurenix as nx
        >>> x = nx.tensor([1.0, 2.0])
        >>> x.data[0] = 5.0
        >>> x
        tensor([5., 2.])
        """
        self._exposed = True
        return self._array

    @data.setter
    def data(self, value: Any) -> None:
        self.assign_(value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(2, 3).shape
        (2, 3)
        """
        return tuple(self._array.shape)

    @property
    def ndim(self) -> int:
        """Number of axes.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(2, 3).ndim
        2
        """
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(2).dtype == nx.float32
        True
        """
        dtype: np.dtype[Any] = self._array.dtype
        return dtype

    @property
    def device(self) -> devices.device:
        """Where the array is: "cpu", "cuda:0", ...; a string with a ``type`` and an ``index``.

        Examples
        --------
        >>> import neurenix as nx
        >>> x = nx.zeros(2, device="cpu")
        >>> x.device, x.device.type
        ('cpu', 'cpu')
        """
        return devices.named(backend.device_of(self._array))

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user rather than by a recorded operation.

        Examples
        --------
        >>> import neurenix as nx
        >>> x = nx.tensor([1.0], requires_grad=True)
        >>> x.is_leaf, (2 * x).is_leaf
        (True, False)
        """
        return self._node is None

    def is_floating_point(self) -> bool:
        """Whether the elements are floats.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(2).is_floating_point(), nx.arange(2).is_floating_point()
        (True, False)
        """
        return self.dtype.kind == "f"

    def __len__(self) -> int:
        if not self.shape:
            raise DTypeError("len: expected a tensor with axes, got a 0-d tensor; use .item()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        text = np.array2string(self.numpy(), separator=", ", prefix="tensor(", threshold=200, precision=4)
        extra = "" if self.dtype in (np.float32, np.int64, np.bool_) else f", dtype={self.dtype}"
        extra += "" if self.device == "cpu" else f", device={self.device!r}"
        extra += f", grad_fn=<{self._node.op}>" if self._node else ", requires_grad=True" if self.requires_grad else ""
        return f"tensor({text}{extra})"

    def __format__(self, form: str) -> str:
        return format(self.item(), form) if form and not self.shape else format(str(self), form)

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DTypeError(f"index: expected an integer tensor, got {self.dtype}; use int(x)")
        return int(self.item())

    # --- out of the library

    def item(self) -> Any:
        """The one element as a Python number.

        Raises
        ------
        ShapeError
            If there is not exactly one element.

        Examples
        --------
        >>> import neurenix as nx
        >>> (nx.tensor([1.0, 2.0, 6.0]).mean() / 2).item()
        1.5
        """
        if self._array.size != 1:
            raise ShapeError(f"item: expected one element, got shape {self.shape}; reduce it first, e.g. with .mean()")
        return backend.to_numpy(self._array).reshape(()).item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([[1, 2], [3, 4]]).tolist()
        [[1, 2], [3, 4]]
        """
        return self.numpy().tolist()


def set_default_device(device: DeviceLike) -> None:
    """Set the device of tensors made from Python values from now on: "cpu", "cuda" or "cuda:N"; :class:`device` does it for a block.

    Raises
    ------
    ArgumentError
        If it is no name of a device.
    BackendUnavailableError
        Where the device is not there.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.set_default_device("cpu")
    >>> nx.zeros(2).device
    'cpu'
    """
    backend.empty((0,), np.float32, device)  # raises where the device is not there
    devices.set_everywhere(device)


def _from_sequence(data: Any, dtype: DTypeLike | None) -> np.ndarray[Any, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.numpy()
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value

    try:
        return _host_array(np.array(plain(data), dtype=dtype))
    except OverflowError as error:
        raise ArgumentError(f"Tensor: expected numbers that the type holds, got {error}; pass another dtype") from None
    except (ValueError, TypeError) as error:
        if isinstance(error, DTypeError):
            raise
        kind = type(data).__name__
        raise ArgumentError(f"Tensor: expected numbers or equally long nested lists, got {kind} ({error}); check the lengths") from None


def _zeros(shape: Any, dtype: DTypeLike | None) -> np.ndarray[Any, Any]:
    sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if not all(isinstance(s, (int, np.integer)) and not isinstance(s, bool) and s >= 0 for s in sizes):
        raise ShapeError(f"Tensor: expected sizes that are integers of at least 0, got shape={shape!r}; pass e.g. shape=(1, 3, 224, 224)")
    try:
        if lazy.is_loading():
            return lazy.placeholder(tuple(int(s) for s in sizes), np.dtype(np.float32 if dtype is None else dtype))
        array = backend.empty(tuple(int(s) for s in sizes), np.float32 if dtype is None else dtype, "cpu")
    except (OverflowError, ValueError):
        raise ShapeError(f"Tensor: expected sizes that fit memory, got shape={shape!r}; use smaller sizes") from None
    array.fill(0)
    zeros: np.ndarray[Any, Any] = array
    return zeros


def _ones_like(x: Tensor) -> Array:
    ones = backend.empty(x.shape, x.dtype, "cpu")
    ones.fill(1)
    return backend.to_device(ones, x.device)


def tensor(data: Any, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor from a copy of ``data``, its type inferred as PyTorch does.

    Python floats become float32, ints int64, bools bool; an array keeps its type.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.tensor([1, 2]).dtype, nx.tensor([1.0, 2]).dtype, nx.tensor([True]).dtype
    (dtype('int64'), dtype('float32'), dtype('bool'))
    """
    data = np.asarray(data) if is_foreign(data) else data
    if isinstance(data, Tensor) or backend.is_array(data):
        source = data._array if isinstance(data, Tensor) else (_host_array(data) if isinstance(data, np.ndarray) else data)
        array = layout.copy(source)
    else:
        array = _from_sequence(data, dtype)
        if dtype is None and array.dtype == np.float64 and not _has_numpy_float64(data):
            array = array.astype(np.float32)
        elif dtype is None and array.dtype.kind in "iu" and array.dtype != np.int64 and isinstance(data, int):
            array = array.astype(np.int64)
    return Tensor(Tensor._wrap(array), dtype=dtype, device=default_device() if device is None else device, requires_grad=requires_grad)


def _has_numpy_float64(data: Any) -> bool:
    """Whether the numbers are NumPy's or tensors' own doubles rather than Python's."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return isinstance(data, (np.float64, np.ndarray, Tensor)) and np.asarray(data).dtype == np.float64


def as_tensor(data: Any, like: Tensor | None = None) -> Tensor:
    """``data`` as a tensor: itself, around an array without a copy, or a number of ``like``'s type on ``like``'s device."""
    if isinstance(data, Tensor):
        return data
    if backend.is_array(data) or is_foreign(data):
        return Tensor(data)
    if like is None:
        return tensor(data)
    array = _from_sequence(data, like.dtype)
    return Tensor._wrap(backend.to_device(array, like.device))
