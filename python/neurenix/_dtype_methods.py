"""Changes of element type: one line each, the work is in :mod:`neurenix.ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import neurenix
from neurenix._typing import DTypeLike

if TYPE_CHECKING:
    import neurenix.ops
    from neurenix.tensor import Tensor


class DTypeMethods:
    """Changes of element type as methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def float(self) -> Tensor:
        """As float32, the library's usual type; itself where it is so already.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([1, 2]).float()
        tensor([1., 2.])
        """
        return self.type("float32")

    def double(self) -> Tensor:
        """As float64.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([0.5]).double()
        tensor([0.5], dtype=float64)
        """
        return self.type("float64")

    def half(self) -> Tensor:
        """As float16, which is stored but not computed with: an operation on it is a :class:`DTypeError`.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([0.1]).half().float().item() == 0.1
        False
        """
        return self.type("float16")

    def long(self) -> Tensor:
        """As int64, fractions cut off: what losses and :func:`neurenix.gather` take for classes.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([1.9, -1.9]).long()
        tensor([ 1, -1])
        """
        return self.type("int64")

    def int(self) -> Tensor:
        """As int32, fractions cut off.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([1.9, -1.9]).int()
        tensor([ 1, -1], dtype=int32)
        """
        return self.type("int32")

    def short(self) -> Tensor:
        """As int16, fractions cut off.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([1.9, -1.9]).short()
        tensor([ 1, -1], dtype=int16)
        """
        return self.type("int16")

    def char(self) -> Tensor:
        """As int8, fractions cut off.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([1.9, -1.9]).char()
        tensor([ 1, -1], dtype=int8)
        """
        return self.type("int8")

    def byte(self) -> Tensor:
        """As uint8, fractions cut off.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([0.0, 254.9]).byte()
        tensor([  0, 254], dtype=uint8)
        """
        return self.type("uint8")

    def bool(self) -> Tensor:
        """As bool: whether an element is not zero.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([0.0, 0.5, -1.0]).bool()
        tensor([False,  True,  True])
        """
        return self.type("bool")

    def type(self, dtype: DTypeLike) -> Tensor:
        """As another element type, e.g. ``nx.int64`` or "int64"; gradients flow between float types.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([1.5]).type(nx.float64).dtype
        dtype('float64')
        """
        return neurenix.ops.cast(self, dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """As ``other``'s element type.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.tensor([1, 2]).type_as(nx.tensor([0.5]))
        tensor([1., 2.])
        """
        return self.type(neurenix.ops.as_tensor(other).dtype)
