"""Names of types that signatures use."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from neurenix.tensor import Tensor

Array: TypeAlias = Any  # numpy.ndarray or cupy.ndarray
TensorLike: TypeAlias = "Tensor | Array"
Dims: TypeAlias = int | Sequence[int] | None
DTypeLike: TypeAlias = Any  # whatever numpy.dtype() takes
DeviceLike: TypeAlias = str
