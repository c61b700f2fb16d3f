"""Layers, containers and losses under PyTorch's names."""

# module
from neurenix.nn import init as init
from neurenix.nn.module import Module as Module
from neurenix.nn.parameter import Buffer as Buffer, Parameter as Parameter

# container
from neurenix.nn.containers import ModuleDict as ModuleDict, ModuleList as ModuleList, Sequential as Sequential

# activation

# conv

# linear

# pooling

# resize

# padding

# norm

# loss

# dropout
