"""New tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import backend, layout, lazy
from neurenix._typing import Array, DeviceLike, DTypeLike
from neurenix.errors import ArgumentError, DeviceError, DTypeError, NeurenixError, ShapeError
from neurenix.tensor import Tensor, as_tensor as wrapped, default_device

_ONE_BY_ONE = (int, np.integer)


def _shape(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    sizes = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    if not all(isinstance(n, _ONE_BY_ONE) and not isinstance(n, bool) and n >= 0 for n in sizes):
        raise ShapeError(f"{name}: expected sizes that are integers of at least 0, got {sizes!r}; pass e.g. (1, 3, 224, 224)")
    return tuple(int(n) for n in sizes)


def _made(array: np.ndarray[Any, Any], device: DeviceLike | None, requires_grad: bool) -> Tensor:
    t = Tensor._wrap(backend.to_device(array, default_device() if device is None else device))
    return t.requires_grad_() if requires_grad else t


def _constant(
    name: str, shape: tuple[int, ...], value: Any, dtype: DTypeLike | None, device: DeviceLike | None, requires_grad: bool
) -> Tensor:
    kind = np.dtype(np.float32 if dtype is None else dtype)
    if kind.kind not in "biuf" or kind.itemsize > 8:
        raise DTypeError(f"{name}: expected a float, integer or bool type, got {kind}; pass e.g. nx.float32")
    if lazy.is_loading():
        return Tensor._wrap(lazy.placeholder(shape, kind, value))
    array = backend.empty(shape, kind, "cpu")
    try:
        array.fill(value)
    except (OverflowError, ValueError):
        raise ArgumentError(f"{name}: expected a number that {kind} holds, got {value}; pass another dtype") from None
    return _made(array, device, requires_grad)


def zeros(*size: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros, float32 unless ``dtype`` says otherwise: ``nx.zeros(2, 3)`` or ``nx.zeros((2, 3))``.

    Raises
    ------
    ShapeError
        If a size is negative or no integer.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.zeros(2, 3)
    >>> x.shape, x.dtype, x.device
    ((2, 3), dtype('float32'), 'cpu')
    """
    return _constant("zeros", _shape("zeros", size), 0, dtype, device, requires_grad)


def ones(*size: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """Ones, float32 unless ``dtype`` says otherwise: ``nx.ones(2, 3)`` or ``nx.ones((2, 3))``; errors as in :func:`zeros`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.ones(2, 3, dtype=nx.uint8)
    tensor([[1, 1, 1],
            [1, 1, 1]], dtype=uint8)
    """
    return _constant("ones", _shape("ones", size), 1, dtype, device, requires_grad)


def empty(*size: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor to be overwritten; its elements are zeros, so that programs do the same on every run.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.empty(2, 2)
    tensor([[0., 0.],
            [0., 0.]])
    """
    return _constant("empty", _shape("empty", size), 0, dtype, device, requires_grad)


def full(
    size: Any, fill_value: Any, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False
) -> Tensor:
    """One value everywhere: bool for a bool, int64 for an integer, else float32, unless ``dtype`` says otherwise.

    Raises
    ------
    ArgumentError
        If the type does not hold the value.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.full((2, 2), 7), nx.full((2,), 0.5).dtype
    (tensor([[7, 7],
            [7, 7]]), dtype('float32'))
    """
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    if dtype is None:
        dtype = {"b": np.bool_, "i": np.int64, "u": np.int64}.get(np.asarray(value).dtype.kind, np.float32)
    sizes = (size,) if isinstance(size, _ONE_BY_ONE) else tuple(size)
    return _constant("full", _shape("full", (sizes,)), value, dtype, device, requires_grad)


def _like(name: str, input: Any, value: Any, dtype: DTypeLike | None, device: DeviceLike | None, requires_grad: bool) -> Tensor:
    x = wrapped(input)
    return _constant(name, x.shape, value, x.dtype if dtype is None else dtype, x.device if device is None else device, requires_grad)


def zeros_like(input: Any, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the input's shape, type and device.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.zeros_like(nx.tensor([[1, 2], [3, 4]]))
    tensor([[0, 0],
            [0, 0]])
    """
    return _like("zeros_like", input, 0, dtype, device, requires_grad)


def ones_like(input: Any, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """Ones of the input's shape, type and device.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.ones_like(nx.tensor([1, 2]), dtype=nx.float64).dtype
    dtype('float64')
    """
    return _like("ones_like", input, 1, dtype, device, requires_grad)


def empty_like(input: Any, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor to be overwritten, of the input's shape, type and device; zeros as in :func:`empty`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.empty_like(nx.zeros(1, 3, 8, 8)).shape
    (1, 3, 8, 8)
    """
    return _like("empty_like", input, 0, dtype, device, requires_grad)


def full_like(
    input: Any, fill_value: Any, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False
) -> Tensor:
    """One value everywhere, of the input's shape, type and device.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.full_like(nx.zeros(2, 2), 0.5)
    tensor([[0.5, 0.5],
            [0.5, 0.5]])
    """
    return _like("full_like", input, fill_value, dtype, device, requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from ``start`` up to before ``end``; int64 if all three are integers, else float32.

    Raises
    ------
    ArgumentError
        If a number is not finite, or ``step`` does not lead from ``start`` to ``end``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.arange(2, 8, 2)
    tensor([2, 4, 6])
    """
    first, last = (0, start) if end is None else (start, end)
    if not all(math.isfinite(v) for v in (first, last, step)):
        raise ArgumentError(f"arange: expected finite numbers, got {first}, {last} and {step}; check them")
    if step == 0 or (last - first) * step < 0:
        raise ArgumentError(f"arange: expected a step that leads from {first} to {last}, got {step}; change its sign or size")
    whole = all(isinstance(v, _ONE_BY_ONE) for v in (first, last, step))
    count = math.ceil((last - first) / step)
    kind = np.dtype((np.int64 if whole else np.float32) if dtype is None else dtype)
    if kind.kind in "iu":
        first, step = int(first), int(step)
    return _made((first + step * np.arange(count)).astype(kind), device, requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False
) -> Tensor:
    """``steps`` numbers from ``start`` to ``end``, both included and exact; float32 unless ``dtype`` says otherwise.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.linspace(0, 1, 5)
    tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    _steps("linspace", steps)
    return _made(_spaced(start, end, steps).astype(np.float32 if dtype is None else dtype), device, requires_grad)


def _steps(name: str, steps: Any) -> None:
    if isinstance(steps, bool) or not isinstance(steps, _ONE_BY_ONE) or steps < 0:
        raise ArgumentError(f"{name}: expected a whole number of at least 0 for steps, got {steps!r}; pass how many numbers to make")


def _spaced(start: float, end: float, steps: int) -> np.ndarray[Any, Any]:
    """Numbers counted from both ends, so that each end is exact."""
    first, last = float(start), float(end)
    step, k = (last - first) / max(steps - 1, 1), np.arange(steps)
    return np.where(k < steps // 2, first + step * k, last - step * (steps - 1 - k)) if steps > 1 else np.full(steps, first)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` powers of ``base`` from ``base ** start`` to ``base ** end``, both included; float32.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.logspace(0, 3, 4, base=2)
    tensor([1., 2., 4., 8.])
    """
    _steps("logspace", steps)
    return _made((base ** _spaced(start, end, steps)).astype(np.float32 if dtype is None else dtype), device, requires_grad)


def eye(
    n: int, m: int | None = None, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False
) -> Tensor:
    """Ones on the diagonal of an (n, m) matrix, zeros elsewhere; square without ``m``; float32.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.eye(2, 3)
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    rows, columns = _shape("eye", (n, n if m is None else m))
    return _made(np.eye(rows, columns, dtype=np.float32 if dtype is None else dtype), device, requires_grad)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid, one tensor an axis, each of the grid's shape; ``indexing="xy"`` exchanges the first two.

    Raises
    ------
    ArgumentError
        For another ``indexing``.
    ShapeError
        If one has more than one axis.

    Examples
    --------
    >>> import neurenix as nx
    >>> rows, columns = nx.meshgrid(nx.arange(2), nx.arange(3))
    >>> rows
    tensor([[0, 0, 0],
            [1, 1, 1]])
    >>> columns
    tensor([[0, 1, 2],
            [0, 1, 2]])
    """
    from neurenix.ops.shape import broadcast_to, reshape

    if indexing not in ("ij", "xy"):
        raise ArgumentError(f'meshgrid: expected indexing "ij" or "xy", got {indexing!r}; choose one of them')
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    lines = [wrapped(t) for t in given]
    if any(t.ndim > 1 for t in lines):
        raise ShapeError(f"meshgrid: expected vectors, got shapes {[t.shape for t in lines]}; flatten them")
    if indexing == "xy" and len(lines) > 1:
        lines[:2] = lines[1::-1]
    shape = tuple(t._array.size for t in lines)
    grids = [broadcast_to(reshape(t, *(-1 if i == k else 1 for i in range(len(lines)))), shape) for k, t in enumerate(lines)]
    if indexing == "xy" and len(lines) > 1:
        grids[:2] = grids[1::-1]
    return tuple(grids)


def as_tensor(data: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None) -> Tensor:
    """``data`` as a tensor, without a copy where it is one already or an array; lists as :func:`neurenix.tensor` takes them.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([1.0])
    >>> nx.as_tensor(x) is x, nx.as_tensor([1, 2]).dtype
    (True, dtype('int64'))
    """
    x = wrapped(data)
    return x if dtype is None and device is None else x.to(dtype=dtype, device=device)


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor that shares the array's memory and has its type; a write to one is seen in the other.

    Examples
    --------
    >>> import numpy as np
    >>> import neurenix as nx
    >>> array = np.zeros(2)
    >>> x = nx.from_numpy(array)
    >>> array[0] = 5
    >>> x
    tensor([5., 0.], dtype=float64)
    """
    return Tensor(array)


def from_dlpack(source: Any, *, device: DeviceLike | None = None, copy: bool | None = None) -> Tensor:
    """A tensor that shares the memory of any object with ``__dlpack__``, e.g. a PyTorch tensor.

    Parameters
    ----------
    source : object with ``__dlpack__`` and ``__dlpack_device__``
        On the CPU or a CUDA device, of any strides; read-only memory gives a tensor that nothing writes to.
    device : str, optional
        Where the tensor is to be; where the memory is if ``None``.
    copy : bool, optional
        True always copies, False never; ``None`` copies only to another device.

    Raises
    ------
    DTypeError
        If it has no such methods, or elements that a tensor cannot hold.
    DeviceError
        If its memory is on a device of another kind, or elsewhere than asked for with ``copy=False``.

    Examples
    --------
    >>> import numpy as np
    >>> import neurenix as nx
    >>> array = np.zeros(2, np.float32)
    >>> x = nx.from_dlpack(array)
    >>> array[0] = 1.0
    >>> x
    tensor([1., 0.])
    """
    if isinstance(source, Tensor):
        t = source.detach()
    elif hasattr(source, "__dlpack__") and hasattr(source, "__dlpack_device__"):
        t = Tensor(_shared(source))
    else:
        raise DTypeError(f"from_dlpack: expected an object with __dlpack__, got {type(source).__name__}; pass an array")
    if device not in (None, t.device, t.device.partition(":")[0]):
        if copy is False:
            raise DeviceError(f"from_dlpack: expected memory on {device} with copy=False, got {t.device}; pass copy=None")
        return t.to(device=device)
    return Tensor._wrap(layout.copy(t._array)) if copy else t


def _shared(source: Any) -> Array:
    """An array over the memory of ``source``."""
    kind = int(source.__dlpack_device__()[0])
    if kind not in backend.DLPACK_DEVICES:
        raise DeviceError(f"from_dlpack: expected memory on the CPU or a CUDA device, got DLPack's device type {kind}; copy it to the CPU")
    try:
        return backend.from_dlpack(source)
    except (BufferError, RuntimeError, TypeError) as error:
        if isinstance(error, NeurenixError):
            raise
        raise DTypeError(
            f"from_dlpack: expected elements and strides that can be shared, got a refusal ({error}); detach it, or convert it to float32"
        ) from None
