"""The operations as methods of a tensor: one line each, the work is in :mod:`neurenix.ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurenix.tensor import Tensor


class TensorMethods:
    """Operators and methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def __add__(self, other: Any) -> Tensor:
        from neurenix import ops

        return ops.add(self, other)
