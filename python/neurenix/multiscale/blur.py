"""Anti-aliased downsampling."""

from __future__ import annotations

import math

from neurenix import nn, ops
from neurenix.multiscale import _checks
from neurenix.nn import functional
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor


class BlurPool(Module):
    """Blur, then take every other pixel: what is finer than the new grid leaves before it can alias.

    The filter is the outer product of a row of Pascal's triangle, divided by its sum: fixed, saved as the buffer ``filter``.

    | step   | shape                                      | of                                                        |
    | ------ | ------------------------------------------ | --------------------------------------------------------- |
    | input  | (N, C, H, W)                               |                                                           |
    | pad    | (N, C, H + K - 1, W + K - 1)               | mirrored without the edge; the edge where it is too short |
    | output | (N, C, ceil(H / stride), ceil(W / stride)) | each channel by itself                                    |

    Parameters
    ----------
    channels : int
        Channels C of the map.
    kernel_size : int
        Side K of the filter: 2 is a mean, 3 is (1, 2, 1), 5 is (1, 4, 6, 4, 1).
    stride : int
        Which pixels are taken.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1.

    References
    ----------
    .. [1] R. Zhang, "Making convolutional networks shift-invariant again", ICML 2019.

    Examples
    --------
    >>> import neurenix as nx
    >>> pool = nx.multiscale.BlurPool(1)
    >>> pool(nx.tensor([[[[0.0, 0.0, 16.0, 0.0, 0.0]]]])).tolist()
    [[[[0.0, 8.0, 0.0]]]]
    """

    def __init__(self, channels: int, kernel_size: int = 3, stride: int = 2) -> None:
        self.channels = integer("BlurPool", "channels", channels, 1)
        self.kernel_size = integer("BlurPool", "kernel_size", kernel_size, 1)
        self.stride = integer("BlurPool", "stride", stride, 1)
        n = self.kernel_size - 1
        row = [math.comb(n, i) / 2**n for i in range(n + 1)]
        self.filter = nn.Buffer([[[[a * b for b in row] for a in row]]] * self.channels)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, C, ceil(H / stride), ceil(W / stride)) of (N, C, H, W)."""
        x = _checks.float_map("BlurPool", x, self.channels)
        before, after = (self.kernel_size - 1) // 2, self.kernel_size // 2
        for axis, size in ((2, x.shape[2]), (3, x.shape[3])):
            ends = (0, 0, before, after) if axis == 2 else (before, after, 0, 0)
            x = functional.pad(x, ends, mode="reflect" if size > after else "replicate")
        return functional.conv2d(x, self.filter, stride=self.stride, groups=self.channels)


class MaxBlurPool(Module):
    """The largest value of 2x2 windows at every place, blurred, and every other pixel of that: sizes halve, rounded up."""

    def __init__(self, channels: int) -> None:
        self.blur = BlurPool(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, C, ceil(H / 2), ceil(W / 2)) of (N, C, H, W)."""
        out: Tensor = self.blur(ops.same_pool2d(x, 2, "max"))
        return out
