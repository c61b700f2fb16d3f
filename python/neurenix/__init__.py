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
from neurenix.checkpoint import checkpoint as checkpoint, enable_gradient_checkpointing as enable_gradient_checkpointing
from neurenix.memory import (
    empty_cache as empty_cache,
    memory_stats as memory_stats,
    reset_peak as reset_peak,
    set_memory_limit as set_memory_limit,
)
from neurenix.precision import get_float32_precision as get_float32_precision, set_float32_precision as set_float32_precision
from neurenix.system import get_num_threads as get_num_threads, set_num_threads as set_num_threads, show_config as show_config

# files
from neurenix.serialization import load as load, save as save

# first hour
from neurenix.picture import overlay as overlay
from neurenix.anomaly import detect_anomaly as detect_anomaly

# rooms
from neurenix import nn as nn
