"""The operators of a tensor: one line each, the work is in :mod:`neurenix.ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import neurenix
from neurenix.errors import GraphError

if TYPE_CHECKING:
    import neurenix.ops
    from neurenix.tensor import Tensor


_WRITES = {  # what to write instead of PyTorch's in-place functions that have no other form
    "zero_": "nx.zeros_like(x)",
    "fill_": "nx.full_like(x, value)",
    "copy_": "other",
    "set_": "other",
    "uniform_": "nx.rand_like(x)",
    "normal_": "nx.randn_like(x)",
    "random_": "nx.randint_like(x, high)",
}


class TensorOperators:
    """Operators of :class:`neurenix.Tensor`; ``x += y`` makes a new tensor and binds ``x`` to it."""

    __slots__ = ()

    def __add__(self, other: Any) -> Tensor:
        return neurenix.ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return neurenix.ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return neurenix.ops.sub(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return neurenix.ops.sub(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return neurenix.ops.mul(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return neurenix.ops.mul(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return neurenix.ops.div(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return neurenix.ops.div(other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return neurenix.ops.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return neurenix.ops.floor_divide(other, self)

    def __mod__(self, other: Any) -> Tensor:
        return neurenix.ops.remainder(self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return neurenix.ops.remainder(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return neurenix.ops.pow(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return neurenix.ops.pow(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return neurenix.ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return neurenix.ops.matmul(other, self)

    def __and__(self, other: Any) -> Tensor:
        return neurenix.ops.bitwise_and(self, other)

    def __rand__(self, other: Any) -> Tensor:
        return neurenix.ops.bitwise_and(other, self)

    def __or__(self, other: Any) -> Tensor:
        return neurenix.ops.bitwise_or(self, other)

    def __ror__(self, other: Any) -> Tensor:
        return neurenix.ops.bitwise_or(other, self)

    def __xor__(self, other: Any) -> Tensor:
        return neurenix.ops.bitwise_xor(self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return neurenix.ops.bitwise_xor(other, self)

    def __lshift__(self, other: Any) -> Tensor:
        return neurenix.ops.bitwise_left_shift(self, other)

    def __rlshift__(self, other: Any) -> Tensor:
        return neurenix.ops.bitwise_left_shift(other, self)

    def __rshift__(self, other: Any) -> Tensor:
        return neurenix.ops.bitwise_right_shift(self, other)

    def __rrshift__(self, other: Any) -> Tensor:
        return neurenix.ops.bitwise_right_shift(other, self)

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]  # object gives a bool, we one an element
        return NotImplemented if other is None else neurenix.ops.eq(self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]  # as above
        return NotImplemented if other is None else neurenix.ops.ne(self, other)

    def __lt__(self, other: Any) -> Tensor:
        return neurenix.ops.lt(self, other)

    def __le__(self, other: Any) -> Tensor:
        return neurenix.ops.le(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return neurenix.ops.gt(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return neurenix.ops.ge(self, other)

    __hash__ = object.__hash__

    def __neg__(self) -> Tensor:
        return neurenix.ops.neg(self)

    def __pos__(self) -> Tensor:
        return neurenix.ops.clone(self)

    def __abs__(self) -> Tensor:
        return neurenix.ops.abs(self)

    def __invert__(self) -> Tensor:
        return neurenix.ops.bitwise_not(self)

    def __getitem__(self, key: Any) -> Tensor:
        return neurenix.ops.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise GraphError(
            "x[...] = value: expected an operation that makes a new tensor, got item assignment, which a tensor does not have; "
            "use nx.where(mask, value, x), or write to the array x.data before it takes part in anything"
        )

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_") and not name.startswith("_") and hasattr(type(self), name[:-1]):
            raise AttributeError(f"{name}: expected an operation that makes a new tensor, got an in-place one; use x = x.{name[:-1]}(...)")
        if name in _WRITES:
            raise AttributeError(
                f"{name}: expected an operation that makes a new tensor, got an in-place one; use x.assign_({_WRITES[name]}), or write to x.data"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def T(self) -> Tensor:  # noqa: N802 - PyTorch's name
        """The matrix transposed, a view; see :func:`neurenix.t`.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(2, 3).T.shape
        (3, 2)
        """
        return neurenix.ops.t(self)

    @property
    def H(self) -> Tensor:  # noqa: N802 - PyTorch's name
        """The matrix transposed, as ``T``: numbers are real.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(2, 3).H.shape
        (3, 2)
        """
        return neurenix.ops.t(self)

    @property
    def mH(self) -> Tensor:  # noqa: N802 - PyTorch's name
        """The last two axes exchanged, as ``mT``: numbers are real.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(10, 2, 3).mH.shape
        (10, 3, 2)
        """
        return neurenix.ops.transpose(self, -2, -1)

    @property
    def mT(self) -> Tensor:  # noqa: N802 - PyTorch's name
        """The last two axes exchanged, a view: every matrix of a batch transposed.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(10, 2, 3).mT.shape
        (10, 3, 2)
        """
        return neurenix.ops.transpose(self, -2, -1)
