"""Layers, containers and losses under PyTorch's names."""

# module

# container

# activation

# conv

# linear

# pooling

# resize

# padding

# norm

# loss

# dropout
