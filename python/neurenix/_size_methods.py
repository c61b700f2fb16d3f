"""What a tensor's sizes and memory are, under PyTorch's names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import neurenix
from neurenix._typing import DTypeLike
from neurenix.errors import RangeError

if TYPE_CHECKING:
    import neurenix.ops
    from neurenix.tensor import Tensor


class SizeMethods:
    """Sizes as methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one axis."""
        shape = cast("Tensor", self).shape
        if dim is None:
            return shape
        try:
            return shape[dim]
        except IndexError:
            raise RangeError(f"size: expected an axis from {-len(shape)} to {len(shape) - 1}, got {dim}; the shape is {shape}") from None

    def dim(self) -> int:
        """The number of axes."""
        return len(cast("Tensor", self).shape)

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(cast("Tensor", self).shape)

    def element_size(self) -> int:
        """Bytes of one element."""
        return int(cast("Tensor", self).dtype.itemsize)

    def nelement(self) -> int:
        """The number of elements."""
        return self.numel()

    def ndimension(self) -> int:
        """The number of axes."""
        return self.dim()

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.element_size()

    @property
    def is_cpu(self) -> bool:
        """Whether it is on the CPU."""
        return cast("Tensor", self).device == "cpu"

    def is_contiguous(self) -> bool:
        """Whether the elements lie in C order without gaps; a channels-last map does not."""
        return bool(cast("Tensor", self)._array.flags.c_contiguous)

    def new_empty(self, *size: Any, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
        """Zeros to be overwritten, of this tensor's type and device unless given."""
        return self.new_zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_zeros(self, *size: Any, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
        """Zeros of another shape, of this tensor's type and device unless given."""
        return self._new(neurenix.ops.zeros, size, dtype, device, requires_grad)

    def new_ones(self, *size: Any, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
        """Ones of another shape, of this tensor's type and device unless given."""
        return self._new(neurenix.ops.ones, size, dtype, device, requires_grad)

    def new_full(
        self, size: Any, fill_value: Any, *, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
    ) -> Tensor:
        """One value in another shape, of this tensor's type and device unless given."""
        return self._new(neurenix.ops.full, (size, fill_value), dtype, device, requires_grad)

    def _new(self, make: Any, args: tuple[Any, ...], dtype: DTypeLike | None, device: str | None, requires_grad: bool) -> Tensor:
        this = cast("Tensor", self)
        made = make(*args, dtype=this.dtype if dtype is None else dtype, device=device or this.device, requires_grad=requires_grad)
        return cast("Tensor", made)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.element_size()

    @property
    def is_cuda(self) -> bool:
        """Whether it is on a GPU."""
        return cast("Tensor", self).device.startswith("cuda")
