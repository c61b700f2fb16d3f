"""Elements replaced, parts and counts: one line each, the work is in :mod:`neurenix.ops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import neurenix

if TYPE_CHECKING:
    import neurenix.ops
    from neurenix.tensor import Tensor


class ReplaceMethods:
    """Replacements and splits as methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def diagonal_scatter(self, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """See :func:`neurenix.ops.diagonal_scatter`."""
        return neurenix.ops.diagonal_scatter(self, src, offset, dim1, dim2)

    def index_add(self, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Tensor:
        """See :func:`neurenix.ops.index_add`."""
        return neurenix.ops.index_add(self, dim, index, source, alpha=alpha)

    def index_copy(self, dim: int, index: Any, source: Any) -> Tensor:
        """See :func:`neurenix.ops.index_copy`."""
        return neurenix.ops.index_copy(self, dim, index, source)

    def index_fill(self, dim: int, index: Any, value: Any) -> Tensor:
        """See :func:`neurenix.ops.index_fill`."""
        return neurenix.ops.index_fill(self, dim, index, value)

    def index_put(self, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Tensor:
        """See :func:`neurenix.ops.index_put`."""
        return neurenix.ops.index_put(self, indices, values, accumulate)

    def index_reduce(self, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Tensor:
        """See :func:`neurenix.ops.index_reduce`."""
        return neurenix.ops.index_reduce(self, dim, index, source, reduce, include_self=include_self)

    def masked_scatter(self, mask: Any, source: Any) -> Tensor:
        """See :func:`neurenix.ops.masked_scatter`."""
        return neurenix.ops.masked_scatter(self, mask, source)

    def put(self, index: Any, source: Any, accumulate: bool = False) -> Tensor:
        """See :func:`neurenix.ops.put`."""
        return neurenix.ops.put(self, index, source, accumulate)

    def scatter_reduce(self, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Tensor:
        """See :func:`neurenix.ops.scatter_reduce`."""
        return neurenix.ops.scatter_reduce(self, dim, index, src, reduce, include_self=include_self)

    def select_scatter(self, src: Any, dim: int, index: int) -> Tensor:
        """See :func:`neurenix.ops.select_scatter`."""
        return neurenix.ops.select_scatter(self, src, dim, index)

    def slice_scatter(self, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
        """See :func:`neurenix.ops.slice_scatter`."""
        return neurenix.ops.slice_scatter(self, src, dim, start, end, step)

    def tensor_split(self, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
        """See :func:`neurenix.ops.tensor_split`."""
        return neurenix.ops.tensor_split(self, indices_or_sections, dim)

    def hsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """See :func:`neurenix.ops.hsplit`."""
        return neurenix.ops.hsplit(self, indices_or_sections)

    def vsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """See :func:`neurenix.ops.vsplit`."""
        return neurenix.ops.vsplit(self, indices_or_sections)

    def dsplit(self, indices_or_sections: Any) -> tuple[Tensor, ...]:
        """See :func:`neurenix.ops.dsplit`."""
        return neurenix.ops.dsplit(self, indices_or_sections)

    def diagflat(self, offset: int = 0) -> Tensor:
        """See :func:`neurenix.ops.diagflat`."""
        return neurenix.ops.diagflat(self, offset)

    def sum_to_size(self, *size: Any) -> Tensor:
        """See :func:`neurenix.ops.sum_to_size`."""
        return neurenix.ops.sum_to_size(self, *size)

    def bucketize(self, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Tensor:
        """See :func:`neurenix.ops.bucketize`."""
        return neurenix.ops.bucketize(self, boundaries, out_int32=out_int32, right=right)

    def isin(self, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
        """See :func:`neurenix.ops.isin`."""
        return neurenix.ops.isin(self, test_elements, assume_unique=assume_unique, invert=invert)

    def where(self, condition: Any, other: Any) -> Tensor:
        """The elements where ``condition``, else ``other``, broadcast; see :func:`neurenix.where`.

        Examples
        --------
        >>> import neurenix as nx
        >>> x = nx.tensor([-1.0, 2.0])
        >>> x.where(x > 0, 0.0)
        tensor([0., 2.])
        """
        chosen: Tensor = neurenix.ops.where(condition, self, other)
        return chosen

    def split_with_sizes(self, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        """See :func:`neurenix.ops.split_with_sizes`."""
        return neurenix.ops.split_with_sizes(self, split_sizes, dim)
