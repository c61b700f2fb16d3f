"""Operations: one file a family, with its shape rule, gradient and kernel rows."""

# convert
from neurenix.ops.convert import cast as cast, target as target, to_device as to_device

# elementwise

# reduce

# softmax

# indexing

# shape

# matmul

# conv

# pooling

# adaptive_pooling

# resize

# padding

# sampling

# norm
from neurenix.ops.norm import batch_norm as batch_norm, group_norm as group_norm, instance_norm as instance_norm
from neurenix.ops.layer_norm import layer_norm as layer_norm, rms_norm as rms_norm

# loss

# random
from neurenix.ops.dropout import alpha_dropout as alpha_dropout, dropout as dropout, dropout2d as dropout2d
