"""NumPy's side of a tensor: its operators and functions give tensors, its other functions see the values as an array."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import neurenix
from neurenix import backend
from neurenix._typing import Array, DTypeLike
from neurenix.errors import DTypeError

if TYPE_CHECKING:
    import neurenix.ops
    from neurenix.tensor import Tensor

# NumPy's elementwise functions and ours of the same meaning, where the name is another one.
_UFUNCS: Final = {
    "subtract": "sub", "multiply": "mul", "true_divide": "div", "divide": "div", "power": "pow", "negative": "neg", "positive": "clone",
    "absolute": "abs", "fabs": "abs", "rint": "round", "arctan2": "atan2", "degrees": "rad2deg", "radians": "deg2rad", "equal": "eq",
    "less_equal": "le", "greater_equal": "ge", "invert": "bitwise_not",
    "left_shift": "bitwise_left_shift", "right_shift": "bitwise_right_shift",
}  # fmt: skip
_SAME: Final = frozenset({
    "add", "floor_divide", "remainder", "fmod", "matmul", "maximum", "minimum", "sign", "exp", "exp2", "expm1", "log", "log2", "log10",
    "log1p", "sqrt", "square", "reciprocal", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh",
    "arctanh", "hypot", "logaddexp", "floor", "ceil", "trunc", "deg2rad", "rad2deg", "isnan", "isinf", "isfinite", "not_equal", "less",
    "greater", "logical_and", "logical_or", "logical_xor", "logical_not", "bitwise_and", "bitwise_or", "bitwise_xor",
})  # fmt: skip


def _refusal(name: str, why: str) -> DTypeError:
    return DTypeError(f"numpy.{name}: expected arrays, got a Tensor{why}; pass x.numpy(), or use the function of neurenix")


class NumpyMethods:
    """What NumPy asks of :class:`neurenix.Tensor`."""

    __slots__ = ()
    __array_priority__ = 1000.0  # CuPy's operators look at it first
    _array: Array

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a NumPy array; on the CPU a read-only view, from a GPU a copy.

        Examples
        --------
        >>> import neurenix as nx
        >>> array = nx.tensor([[1.0, 2.0]]).numpy()
        >>> array, array.flags.writeable
        (array([[1., 2.]], dtype=float32), False)
        """
        array = backend.to_numpy(self._array).view()
        array.flags.writeable = False
        return array

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self.numpy(), dtype) if copy is None else np.array(self.numpy(), dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **settings: Any) -> Tensor:
        name = ufunc.__name__
        ours = _UFUNCS.get(name, name if name in _SAME else None)
        if ours is None:
            raise _refusal(name, ", for which it has no counterpart")
        if "out" in settings:
            raise _refusal(name, " and out=, which a tensor is not written to: x + y makes a new one")
        if method != "__call__" or settings:
            raise _refusal(
                f"{name}.{method}" if method != "__call__" else name, f" and {', '.join(settings) or 'a method of the function'}"
            )
        result: Tensor = getattr(neurenix.ops, ours)(*inputs)
        return result

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        ours = _functions().get(func)
        if ours is None:
            return func(*_as_arrays(args), **_as_arrays(kwargs))
        try:
            inspect.signature(ours).bind(*args, **kwargs)
        except TypeError as error:
            raise _refusal(func.__name__, f" with arguments that it does not take ({error})") from None
        return ours(*args, **kwargs)


def _as_arrays(value: Any) -> Any:
    """``value`` with its tensors, also those in containers, as NumPy arrays."""
    if isinstance(value, NumpyMethods):
        return value.numpy()
    if type(value) in (list, tuple):
        return type(value)(_as_arrays(v) for v in value)
    return {k: _as_arrays(v) for k, v in value.items()} if type(value) is dict else value


def _functions() -> dict[Any, Callable[..., Any]]:
    """NumPy's functions that give tensors, by NumPy's arguments."""
    if not _table:
        _table.update(_reductions())
        _table.update(_rearranging())
    return _table


_table: dict[Any, Callable[..., Any]] = {}


def _reductions() -> dict[Any, Callable[..., Any]]:
    def fold(ours: Callable[..., Any]) -> Callable[..., Any]:
        return lambda a, axis=None, *, keepdims=False: ours(a, axis, keepdims)

    def extreme(ours: Callable[..., Any]) -> Callable[..., Any]:
        return lambda a, axis=None, *, keepdims=False: ours(a, () if axis is None else axis, keepdims)

    def spread(ours: Callable[..., Any]) -> Callable[..., Any]:  # of all values unless ddof says otherwise, as NumPy has it
        return lambda a, axis=None, *, ddof=0, keepdims=False: ours(a, axis, correction=ddof, keepdim=keepdims)

    ops = neurenix.ops
    table: dict[Any, Callable[..., Any]] = {
        np.sum: fold(ops.sum),
        np.mean: fold(ops.mean),
        np.prod: fold(ops.prod),
        np.any: fold(ops.any),
        np.all: fold(ops.all),
    }
    table |= {np.argmax: fold(ops.argmax), np.argmin: fold(ops.argmin), np.var: spread(ops.var), np.std: spread(ops.std)}
    table |= {np.max: extreme(ops.amax), np.amax: extreme(ops.amax), np.min: extreme(ops.amin), np.amin: extreme(ops.amin)}
    return table


def _rearranging() -> dict[Any, Callable[..., Any]]:
    ops = neurenix.ops

    def concatenate(arrays: Any, axis: int = 0) -> Any:
        return ops.cat(_tensors(arrays), axis)

    def stack(arrays: Any, axis: int = 0) -> Any:
        return ops.stack(_tensors(arrays), axis)

    def clip(a: Any, a_min: Any = None, a_max: Any = None) -> Any:
        return ops.clamp(a, a_min, a_max)

    def reshape(a: Any, shape: Any) -> Any:
        return ops.reshape(a, shape)

    def squeeze(a: Any, axis: Any = None) -> Any:
        return ops.squeeze(a, axis)

    def expand_dims(a: Any, axis: Any) -> Any:
        return ops.unsqueeze(a, axis)

    def transpose(a: Any, axes: Any = None) -> Any:
        return ops.permute(a, tuple(range(a.ndim))[::-1] if axes is None else tuple(axes))

    table: dict[Any, Callable[..., Any]] = {
        np.clip: clip,
        np.reshape: reshape,
        np.squeeze: squeeze,
        np.expand_dims: expand_dims,
        np.transpose: transpose,
    }
    table |= {np.concatenate: concatenate, np.stack: stack, np.where: ops.where, np.ravel: ops.ravel}
    table |= {np.moveaxis: ops.movedim, np.swapaxes: ops.transpose}
    return {**table, np.zeros_like: ops.zeros_like, np.ones_like: ops.ones_like}


def _tensors(arrays: Any) -> list[Any]:
    return [a if isinstance(a, NumpyMethods) else neurenix.Tensor(a) for a in arrays]
