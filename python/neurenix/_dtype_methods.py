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
        """As float32."""
        return self.type("float32")

    def double(self) -> Tensor:
        """As float64."""
        return self.type("float64")

    def half(self) -> Tensor:
        """As float16, which is stored but not computed with."""
        return self.type("float16")

    def long(self) -> Tensor:
        """As int64."""
        return self.type("int64")

    def int(self) -> Tensor:
        """As int32."""
        return self.type("int32")

    def short(self) -> Tensor:
        """As int16."""
        return self.type("int16")

    def char(self) -> Tensor:
        """As int8."""
        return self.type("int8")

    def byte(self) -> Tensor:
        """As uint8."""
        return self.type("uint8")

    def bool(self) -> Tensor:
        """As bool: whether an element is not zero."""
        return self.type("bool")

    def type(self, dtype: DTypeLike) -> Tensor:
        """As another element type."""
        return neurenix.ops.cast(self, dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """As ``other``'s element type."""
        return self.type(other.dtype)
