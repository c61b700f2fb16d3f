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
        """The shape, or the size of one axis; a :class:`RangeError` if there is no such axis.

        Examples
        --------
        >>> import neurenix as nx
        >>> x = nx.zeros(8, 3, 32, 32)
        >>> x.size(), x.size(1)
        ((8, 3, 32, 32), 3)
        """
        shape = cast("Tensor", self).shape
        if dim is None:
            return shape
        try:
            return shape[dim]
        except IndexError:
            raise RangeError(f"size: expected an axis from {-len(shape)} to {len(shape) - 1}, got {dim}; the shape is {shape}") from None

    def dim(self) -> int:
        """The number of axes.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(8, 3, 32, 32).dim()
        4
        """
        return len(cast("Tensor", self).shape)

    def numel(self) -> int:
        """The number of elements.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(3, 32, 32).numel()
        3072
        """
        return math.prod(cast("Tensor", self).shape)

    def element_size(self) -> int:
        """Bytes of one element.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(2).element_size(), nx.zeros(2).double().element_size()
        (4, 8)
        """
        return int(cast("Tensor", self).dtype.itemsize)

    def nelement(self) -> int:
        """The number of elements, as :meth:`numel`.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(2, 3).nelement()
        6
        """
        return self.numel()

    def ndimension(self) -> int:
        """The number of axes, as :meth:`dim`.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(2, 3).ndimension()
        2
        """
        return self.dim()

    @property
    def itemsize(self) -> int:
        """Bytes of one element, as :meth:`element_size`.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(2, dtype=nx.uint8).itemsize
        1
        """
        return self.element_size()

    @property
    def is_cpu(self) -> bool:
        """Whether it is on the CPU.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([1.0], device="cpu").is_cpu
        True
        """
        return cast("Tensor", self).device == "cpu"

    def is_contiguous(self) -> bool:
        """Whether the elements lie in C order without gaps; a channels-last map does not.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(2, 3).is_contiguous(), nx.zeros(2, 3).T.is_contiguous()
        (True, False)
        """
        return bool(cast("Tensor", self)._array.flags.c_contiguous)

    def new_empty(self, *size: Any, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
        """Zeros to be overwritten, of this tensor's type and device unless given.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([1, 2]).new_empty(3)
        tensor([0, 0, 0])
        """
        return self.new_zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_zeros(self, *size: Any, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
        """Zeros of another shape, of this tensor's type and device unless given.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([1, 2]).new_zeros(2, 2)
        tensor([[0, 0],
                [0, 0]])
        """
        return self._new(neurenix.ops.zeros, size, dtype, device, requires_grad)

    def new_ones(self, *size: Any, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
        """Ones of another shape, of this tensor's type and device unless given.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([True]).new_ones(2)
        tensor([ True,  True])
        """
        return self._new(neurenix.ops.ones, size, dtype, device, requires_grad)

    def new_full(
        self, size: Any, fill_value: Any, *, dtype: DTypeLike | None = None, device: str | None = None, requires_grad: bool = False
    ) -> Tensor:
        """One value in another shape, of this tensor's type and device unless given.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([1.0]).new_full((2,), 7)
        tensor([7., 7.])
        """
        return self._new(neurenix.ops.full, (size, fill_value), dtype, device, requires_grad)

    def _new(self, make: Any, args: tuple[Any, ...], dtype: DTypeLike | None, device: str | None, requires_grad: bool) -> Tensor:
        this = cast("Tensor", self)
        made = make(*args, dtype=this.dtype if dtype is None else dtype, device=device or this.device, requires_grad=requires_grad)
        return cast("Tensor", made)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(3, 1000, 1000).nbytes
        12000000
        """
        return self.numel() * self.element_size()

    @property
    def is_cuda(self) -> bool:
        """Whether it is on a GPU.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([1.0], device="cpu").is_cuda
        False
        """
        return cast("Tensor", self).device.startswith("cuda")
