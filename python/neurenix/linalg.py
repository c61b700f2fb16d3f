"""Linear algebra under PyTorch's names: norms, products and powers; no decompositions."""

from neurenix.ops.matmul import matmul as matmul
from neurenix.ops.vectors import (
    matrix_diagonal as diagonal,  # noqa: F401 - the name that PyTorch has for it
    matrix_norm as matrix_norm,
    matrix_power as matrix_power,
    multi_dot as multi_dot,
    norm as norm,
    vander as vander,
    vecdot as vecdot,
    vector_cross as cross,  # noqa: F401 - likewise
    vector_norm as vector_norm,
)
