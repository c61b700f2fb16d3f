"""The functional API: PyTorch's names and argument order over :mod:`neurenix.ops`."""

# activation

# conv

# linear

# pooling

# resize

# padding

# sampling

# norm
from neurenix.ops.norm import batch_norm as batch_norm, group_norm as group_norm, instance_norm as instance_norm
from neurenix.ops.layer_norm import layer_norm as layer_norm, rms_norm as rms_norm

# loss

# dropout
from neurenix.ops.dropout import alpha_dropout as alpha_dropout, dropout as dropout, dropout2d as dropout2d
