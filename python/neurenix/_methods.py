"""Reductions and products, with all other operators and methods: one line each, the work is in :mod:`neurenix.ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import neurenix
from neurenix._dtype_methods import DTypeMethods
from neurenix._elementwise_methods import ElementwiseMethods
from neurenix._operators import TensorOperators
from neurenix._shape_methods import ShapeMethods
from neurenix._typing import Dims, DTypeLike

if TYPE_CHECKING:
    import neurenix.ops
    from neurenix.tensor import Tensor


class TensorMethods(TensorOperators, DTypeMethods, ElementwiseMethods, ShapeMethods):
    """Reductions and products, with all other operators and methods as methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def amax(self, dim: Dims = (), keepdim: bool = False) -> Tensor:
        """See :func:`neurenix.ops.amax`."""
        return neurenix.ops.amax(self, dim, keepdim)

    def amin(self, dim: Dims = (), keepdim: bool = False) -> Tensor:
        """See :func:`neurenix.ops.amin`."""
        return neurenix.ops.amin(self, dim, keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """See :func:`neurenix.ops.argmax`."""
        return neurenix.ops.argmax(self, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """See :func:`neurenix.ops.argmin`."""
        return neurenix.ops.argmin(self, dim, keepdim)

    def mean(self, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`neurenix.ops.mean`."""
        return neurenix.ops.mean(self, dim, keepdim, dtype=dtype)

    def sum(self, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`neurenix.ops.sum`."""
        return neurenix.ops.sum(self, dim, keepdim, dtype=dtype)

    def all(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        """See :func:`neurenix.ops.all`."""
        return neurenix.ops.all(self, dim, keepdim)

    def any(self, dim: Dims = None, keepdim: bool = False) -> Tensor:
        """See :func:`neurenix.ops.any`."""
        return neurenix.ops.any(self, dim, keepdim)

    def count_nonzero(self, dim: Dims = None) -> Tensor:
        """See :func:`neurenix.ops.count_nonzero`."""
        return neurenix.ops.count_nonzero(self, dim)
