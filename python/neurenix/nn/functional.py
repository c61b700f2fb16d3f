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
