"""Changes of shape: one line each, the work is in :mod:`neurenix.ops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import neurenix

if TYPE_CHECKING:
    import neurenix.ops
    from neurenix.ops.reduce import Extreme
    from neurenix.tensor import Tensor


class ShapeMethods:
    """Changes of shape as methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def broadcast_to(self, *args: Any, size: Any = None) -> Tensor:
        """See :func:`neurenix.ops.broadcast_to`."""
        return neurenix.ops.broadcast_to(self, *args, size=size)

    def clone(self) -> Tensor:
        """See :func:`neurenix.ops.clone`."""
        return neurenix.ops.clone(self)

    def contiguous(self) -> Tensor:
        """See :func:`neurenix.ops.contiguous`."""
        return neurenix.ops.contiguous(self)

    def expand(self, *args: Any, size: Any = None) -> Tensor:
        """See :func:`neurenix.ops.expand`."""
        return neurenix.ops.expand(self, *args, size=size)

    def expand_as(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.expand_as`."""
        return neurenix.ops.expand_as(self, other)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """See :func:`neurenix.ops.flatten`."""
        return neurenix.ops.flatten(self, start_dim, end_dim)

    def moveaxis(self, source: Any, destination: Any) -> Tensor:
        """See :func:`neurenix.ops.moveaxis`."""
        return neurenix.ops.moveaxis(self, source, destination)

    def movedim(self, source: Any, destination: Any) -> Tensor:
        """See :func:`neurenix.ops.movedim`."""
        return neurenix.ops.movedim(self, source, destination)

    def permute(self, *args: Any, dims: Any = None) -> Tensor:
        """See :func:`neurenix.ops.permute`."""
        return neurenix.ops.permute(self, *args, dims=dims)

    def ravel(self) -> Tensor:
        """See :func:`neurenix.ops.ravel`."""
        return neurenix.ops.ravel(self)

    def reshape(self, *args: Any, shape: Any = None) -> Tensor:
        """See :func:`neurenix.ops.reshape`."""
        return neurenix.ops.reshape(self, *args, shape=shape)

    def reshape_as(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.reshape_as`."""
        return neurenix.ops.reshape_as(self, other)

    def squeeze(self, dim: Any = None) -> Tensor:
        """See :func:`neurenix.ops.squeeze`."""
        return neurenix.ops.squeeze(self, dim)

    def swapaxes(self, dim0: int, dim1: int) -> Tensor:
        """See :func:`neurenix.ops.swapaxes`."""
        return neurenix.ops.swapaxes(self, dim0, dim1)

    def t(self) -> Tensor:
        """See :func:`neurenix.ops.t`."""
        return neurenix.ops.t(self)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """See :func:`neurenix.ops.transpose`."""
        return neurenix.ops.transpose(self, dim0, dim1)

    def unflatten(self, dim: int, sizes: Sequence[int]) -> Tensor:
        """See :func:`neurenix.ops.unflatten`."""
        return neurenix.ops.unflatten(self, dim, sizes)

    def unsqueeze(self, dim: int) -> Tensor:
        """See :func:`neurenix.ops.unsqueeze`."""
        return neurenix.ops.unsqueeze(self, dim)

    def view(self, *args: Any, size: Any = None) -> Tensor:
        """See :func:`neurenix.ops.view`."""
        return neurenix.ops.view(self, *args, size=size)

    def view_as(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.view_as`."""
        return neurenix.ops.view_as(self, other)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """See :func:`neurenix.ops.chunk`."""
        return neurenix.ops.chunk(self, chunks, dim)

    def narrow(self, dim: int, start: int, length: int) -> Tensor:
        """See :func:`neurenix.ops.narrow`."""
        return neurenix.ops.narrow(self, dim, start, length)

    def select(self, dim: int, index: int) -> Tensor:
        """See :func:`neurenix.ops.select`."""
        return neurenix.ops.select(self, dim, index)

    def split(self, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
        """See :func:`neurenix.ops.split`."""
        return neurenix.ops.split(self, split_size_or_sections, dim)

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """See :func:`neurenix.ops.unbind`."""
        return neurenix.ops.unbind(self, dim)

    def argwhere(self, *, as_tuple: bool = False) -> Any:
        """See :func:`neurenix.ops.argwhere`."""
        return neurenix.ops.argwhere(self, as_tuple=as_tuple)

    def masked_select(self, mask: Any) -> Tensor:
        """See :func:`neurenix.ops.masked_select`."""
        return neurenix.ops.masked_select(self, mask)

    def nonzero(self, *, as_tuple: bool = False) -> Any:
        """See :func:`neurenix.ops.nonzero`."""
        return neurenix.ops.nonzero(self, as_tuple=as_tuple)

    def take(self, index: Any) -> Tensor:
        """See :func:`neurenix.ops.take`."""
        return neurenix.ops.take(self, index)

    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
        """See :func:`neurenix.ops.argsort`."""
        return neurenix.ops.argsort(self, dim, descending, stable)

    def kthvalue(self, k: int, dim: int = -1, keepdim: bool = False) -> Extreme:
        """See :func:`neurenix.ops.kthvalue`."""
        return neurenix.ops.kthvalue(self, k, dim, keepdim)

    def max(self, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        """See :func:`neurenix.ops.max`."""
        return neurenix.ops.max(self, dim, keepdim, other=other)

    def median(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """See :func:`neurenix.ops.median`."""
        return neurenix.ops.median(self, dim, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        """See :func:`neurenix.ops.min`."""
        return neurenix.ops.min(self, dim, keepdim, other=other)

    def sort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Extreme:
        """See :func:`neurenix.ops.sort`."""
        return neurenix.ops.sort(self, dim, descending, stable)

    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Extreme:
        """See :func:`neurenix.ops.topk`."""
        return neurenix.ops.topk(self, k, dim, largest, sorted)

    def gather(self, dim: int, index: Any) -> Tensor:
        """See :func:`neurenix.ops.gather`."""
        return neurenix.ops.gather(self, dim, index)

    def index_select(self, dim: int, index: Any) -> Tensor:
        """See :func:`neurenix.ops.index_select`."""
        return neurenix.ops.index_select(self, dim, index)

    def scatter(self, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Tensor:
        """See :func:`neurenix.ops.scatter`."""
        return neurenix.ops.scatter(self, dim, index, src, value=value, reduce=reduce)

    def scatter_add(self, dim: int, index: Any, src: Any) -> Tensor:
        """See :func:`neurenix.ops.scatter_add`."""
        return neurenix.ops.scatter_add(self, dim, index, src)

    def take_along_dim(self, indices: Any, dim: int | None = None) -> Tensor:
        """See :func:`neurenix.ops.take_along_dim`."""
        return neurenix.ops.take_along_dim(self, indices, dim)
