"""What a tensor's sizes and memory are, under PyTorch's names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from neurenix.tensor import Tensor


class SizeMethods:
    """Sizes as methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one axis."""
        shape = cast("Tensor", self).shape
        return shape if dim is None else shape[dim]

    def dim(self) -> int:
        """The number of axes."""
        return len(cast("Tensor", self).shape)

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(cast("Tensor", self).shape)

    def element_size(self) -> int:
        """Bytes of one element."""
        return int(cast("Tensor", self).dtype.itemsize)

    def is_contiguous(self) -> bool:
        """Whether the elements lie in C order without gaps; a channels-last map does not."""
        return bool(cast("Tensor", self)._array.flags.c_contiguous)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.element_size()

    @property
    def is_cuda(self) -> bool:
        """Whether it is on a GPU."""
        return cast("Tensor", self).device.startswith("cuda")
