"""Reductions and products, with all other operators and methods: one line each, the work is in :mod:`neurenix.ops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import neurenix
from neurenix._compare_methods import CompareMethods
from neurenix._dtype_methods import DTypeMethods
from neurenix._elementwise_methods import ElementwiseMethods
from neurenix._gradient_methods import GradientMethods
from neurenix._hook_methods import HookMethods
from neurenix._numeric_methods import NumericMethods
from neurenix._numpy_methods import NumpyMethods
from neurenix._operators import TensorOperators
from neurenix._replace_methods import ReplaceMethods
from neurenix._shape_methods import ShapeMethods
from neurenix._size_methods import SizeMethods
from neurenix._transfer_methods import TransferMethods
from neurenix._typing import Dims, DTypeLike

if TYPE_CHECKING:
    import neurenix.ops
    from neurenix.ops.compound import Range
    from neurenix.tensor import Tensor


class TensorMethods(
    TensorOperators,
    DTypeMethods,
    SizeMethods,
    ElementwiseMethods,
    CompareMethods,
    ShapeMethods,
    NumericMethods,
    ReplaceMethods,
    NumpyMethods,
    TransferMethods,
    GradientMethods,
    HookMethods,
):
    """Reductions and products, with all other operators and methods as methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def aminmax(self, *, dim: int | None = None, keepdim: bool = False) -> Range:
        """See :func:`neurenix.ops.aminmax`."""
        return neurenix.ops.aminmax(self, dim=dim, keepdim=keepdim)

    def diag_embed(self, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
        """See :func:`neurenix.ops.diag_embed`."""
        return neurenix.ops.diag_embed(self, offset, dim1, dim2)

    def diff(self, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
        """See :func:`neurenix.ops.diff`."""
        return neurenix.ops.diff(self, n, dim, prepend, append)

    def nanmean(self, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`neurenix.ops.nanmean`."""
        return neurenix.ops.nanmean(self, dim, keepdim, dtype=dtype)

    def nansum(self, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`neurenix.ops.nansum`."""
        return neurenix.ops.nansum(self, dim, keepdim, dtype=dtype)

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

    def dist(self, other: Any, p: float = 2) -> Tensor:
        """See :func:`neurenix.ops.dist`."""
        return neurenix.ops.dist(self, other, p)

    def std(self, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None) -> Tensor:
        """See :func:`neurenix.ops.std`."""
        return neurenix.ops.std(self, dim, unbiased, keepdim, correction=correction)

    def var(self, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None) -> Tensor:
        """See :func:`neurenix.ops.var`."""
        return neurenix.ops.var(self, dim, unbiased, keepdim, correction=correction)

    def norm(self, p: Any = "fro", dim: Dims = None, keepdim: bool = False, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`neurenix.ops.vector_norm`."""
        return neurenix.ops.vector_norm(self, p, dim, keepdim, dtype)

    def cumprod(self, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`neurenix.ops.cumprod`."""
        return neurenix.ops.cumprod(self, dim, dtype=dtype)

    def cumsum(self, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`neurenix.ops.cumsum`."""
        return neurenix.ops.cumsum(self, dim, dtype=dtype)

    def prod(self, dim: int | None = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`neurenix.ops.prod`."""
        return neurenix.ops.prod(self, dim, keepdim, dtype=dtype)

    def log_softmax(self, dim: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`neurenix.ops.log_softmax`."""
        return neurenix.ops.log_softmax(self, dim, dtype)

    def logsumexp(self, dim: Dims, keepdim: bool = False) -> Tensor:
        """See :func:`neurenix.ops.logsumexp`."""
        return neurenix.ops.logsumexp(self, dim, keepdim)

    def softmax(self, dim: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`neurenix.ops.softmax`."""
        return neurenix.ops.softmax(self, dim, dtype)

    def diag(self, diagonal: int = 0) -> Tensor:
        """See :func:`neurenix.ops.diag`."""
        return neurenix.ops.diag(self, diagonal)

    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """See :func:`neurenix.ops.diagonal`."""
        return neurenix.ops.diagonal(self, offset, dim1, dim2)

    def flip(self, *args: Any, dims: Any = None) -> Tensor:
        """See :func:`neurenix.ops.flip`."""
        return neurenix.ops.flip(self, *args, dims=dims)

    def fliplr(self) -> Tensor:
        """See :func:`neurenix.ops.fliplr`."""
        return neurenix.ops.fliplr(self)

    def flipud(self) -> Tensor:
        """See :func:`neurenix.ops.flipud`."""
        return neurenix.ops.flipud(self)

    def masked_fill(self, mask: Any, value: Any) -> Tensor:
        """See :func:`neurenix.ops.masked_fill`."""
        return neurenix.ops.masked_fill(self, mask, value)

    def repeat(self, *args: Any, repeats: Any = None) -> Tensor:
        """See :func:`neurenix.ops.repeat`."""
        return neurenix.ops.repeat(self, *args, repeats=repeats)

    def repeat_interleave(self, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
        """See :func:`neurenix.ops.repeat_interleave`."""
        return neurenix.ops.repeat_interleave(self, repeats, dim, output_size=output_size)

    def roll(self, shifts: Any, dims: Any = None) -> Tensor:
        """See :func:`neurenix.ops.roll`."""
        return neurenix.ops.roll(self, shifts, dims)

    def rot90(self, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
        """See :func:`neurenix.ops.rot90`."""
        return neurenix.ops.rot90(self, k, dims)

    def tile(self, *args: Any, dims: Any = None) -> Tensor:
        """See :func:`neurenix.ops.tile`."""
        return neurenix.ops.tile(self, *args, dims=dims)

    def tril(self, diagonal: int = 0) -> Tensor:
        """See :func:`neurenix.ops.tril`."""
        return neurenix.ops.tril(self, diagonal)

    def triu(self, diagonal: int = 0) -> Tensor:
        """See :func:`neurenix.ops.triu`."""
        return neurenix.ops.triu(self, diagonal)

    def addbmm(self, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """See :func:`neurenix.ops.addbmm`."""
        return neurenix.ops.addbmm(self, batch1, batch2, beta=beta, alpha=alpha)

    def addmm(self, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """See :func:`neurenix.ops.addmm`."""
        return neurenix.ops.addmm(self, mat1, mat2, beta=beta, alpha=alpha)

    def addmv(self, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """See :func:`neurenix.ops.addmv`."""
        return neurenix.ops.addmv(self, mat, vec, beta=beta, alpha=alpha)

    def baddbmm(self, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """See :func:`neurenix.ops.baddbmm`."""
        return neurenix.ops.baddbmm(self, batch1, batch2, beta=beta, alpha=alpha)

    def bmm(self, mat2: Any) -> Tensor:
        """See :func:`neurenix.ops.bmm`."""
        return neurenix.ops.bmm(self, mat2)

    def dot(self, tensor: Any) -> Tensor:
        """See :func:`neurenix.ops.dot`."""
        return neurenix.ops.dot(self, tensor)

    def inner(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.inner`."""
        return neurenix.ops.inner(self, other)

    def matmul(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.matmul`."""
        return neurenix.ops.matmul(self, other)

    def mm(self, mat2: Any) -> Tensor:
        """See :func:`neurenix.ops.mm`."""
        return neurenix.ops.mm(self, mat2)

    def mv(self, vec: Any) -> Tensor:
        """See :func:`neurenix.ops.mv`."""
        return neurenix.ops.mv(self, vec)

    def outer(self, vec2: Any) -> Tensor:
        """See :func:`neurenix.ops.outer`."""
        return neurenix.ops.outer(self, vec2)

    def chain_matmul(self, *matrices: Any) -> Tensor:
        """See :func:`neurenix.ops.chain_matmul`."""
        return neurenix.ops.chain_matmul(self, *matrices)

    def tensordot(self, b: Any, dims: int | Sequence[Sequence[int]] = 2) -> Tensor:
        """See :func:`neurenix.ops.tensordot`."""
        return neurenix.ops.tensordot(self, b, dims)
