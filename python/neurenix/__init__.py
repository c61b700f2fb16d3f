"""Multi-scale models (U-Net, feature pyramids, pooling, fusion, transforms) on plain NumPy and CuPy arrays."""

from neurenix._rust import __version__ as __version__
from neurenix.autograd import enable_grad as enable_grad, is_grad_enabled as is_grad_enabled, no_grad as no_grad
from neurenix.tensor import Tensor as Tensor, set_default_device as set_default_device, tensor as tensor

# tensor functions

# random numbers
from neurenix.random import (
    get_rng_state as get_rng_state,
    initial_seed as initial_seed,
    manual_seed as manual_seed,
    rand as rand,
    randint as randint,
    randn as randn,
    randperm as randperm,
    set_rng_state as set_rng_state,
)

# precision, threads, memory

# files

# first hour

# rooms
from neurenix import nn as nn
