"""Comparisons and logic: one line each, the work is in :mod:`neurenix.ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import neurenix

if TYPE_CHECKING:
    import neurenix.ops
    from neurenix.tensor import Tensor


class CompareMethods:
    """Comparisons and logic as methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def allclose(self, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
        """See :func:`neurenix.ops.allclose`."""
        return neurenix.ops.allclose(self, other, rtol, atol, equal_nan)

    def bitwise_and(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.bitwise_and`."""
        return neurenix.ops.bitwise_and(self, other)

    def bitwise_left_shift(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.bitwise_left_shift`."""
        return neurenix.ops.bitwise_left_shift(self, other)

    def bitwise_not(self) -> Tensor:
        """See :func:`neurenix.ops.bitwise_not`."""
        return neurenix.ops.bitwise_not(self)

    def bitwise_or(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.bitwise_or`."""
        return neurenix.ops.bitwise_or(self, other)

    def bitwise_right_shift(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.bitwise_right_shift`."""
        return neurenix.ops.bitwise_right_shift(self, other)

    def bitwise_xor(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.bitwise_xor`."""
        return neurenix.ops.bitwise_xor(self, other)

    def eq(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.eq`."""
        return neurenix.ops.eq(self, other)

    def equal(self, other: Any) -> bool:
        """See :func:`neurenix.ops.equal`."""
        return neurenix.ops.equal(self, other)

    def ge(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.ge`."""
        return neurenix.ops.ge(self, other)

    def greater(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.greater`."""
        return neurenix.ops.greater(self, other)

    def greater_equal(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.greater_equal`."""
        return neurenix.ops.greater_equal(self, other)

    def gt(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.gt`."""
        return neurenix.ops.gt(self, other)

    def isclose(self, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
        """See :func:`neurenix.ops.isclose`."""
        return neurenix.ops.isclose(self, other, rtol, atol, equal_nan)

    def isfinite(self) -> Tensor:
        """See :func:`neurenix.ops.isfinite`."""
        return neurenix.ops.isfinite(self)

    def isinf(self) -> Tensor:
        """See :func:`neurenix.ops.isinf`."""
        return neurenix.ops.isinf(self)

    def isnan(self) -> Tensor:
        """See :func:`neurenix.ops.isnan`."""
        return neurenix.ops.isnan(self)

    def le(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.le`."""
        return neurenix.ops.le(self, other)

    def less(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.less`."""
        return neurenix.ops.less(self, other)

    def less_equal(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.less_equal`."""
        return neurenix.ops.less_equal(self, other)

    def logical_and(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.logical_and`."""
        return neurenix.ops.logical_and(self, other)

    def logical_not(self) -> Tensor:
        """See :func:`neurenix.ops.logical_not`."""
        return neurenix.ops.logical_not(self)

    def logical_or(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.logical_or`."""
        return neurenix.ops.logical_or(self, other)

    def logical_xor(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.logical_xor`."""
        return neurenix.ops.logical_xor(self, other)

    def lt(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.lt`."""
        return neurenix.ops.lt(self, other)

    def ne(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.ne`."""
        return neurenix.ops.ne(self, other)

    def not_equal(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.not_equal`."""
        return neurenix.ops.not_equal(self, other)
