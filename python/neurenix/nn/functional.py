"""The functional API: PyTorch's names and argument order over :mod:`neurenix.ops`."""

# activation

# conv

# linear

# pooling

# resize

# padding

# sampling

# norm

# loss

# dropout
from neurenix.ops.dropout import alpha_dropout as alpha_dropout, dropout as dropout, dropout2d as dropout2d
