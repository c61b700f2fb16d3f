"""The pyramid network."""

from __future__ import annotations

from neurenix import nn
from neurenix.checkpoint import segment
from neurenix.multiscale import _checks
from neurenix.multiscale._blocks import Level, activate, check_activation, check_norm
from neurenix.multiscale._memory import Memory
from neurenix.multiscale.unet import Features, half
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.ops.resize_like import resize_like
from neurenix.tensor import Tensor


class PyramidNetwork(Module):
    """A feature pyramid: bottom-up levels of falling size, merged from the coarsest down.

    Level ``i`` has ``base_channels * 2**i`` channels at ``1 / 2**i`` of the size (rounded up), made by two 3x3 convolutions,
    each normalised and rectified; a 2x2 max-pool leads to the next. Then, from the coarsest down, each level goes through a
    1x1 convolution to ``max(base_channels, out_channels)`` channels and the coarser result, resized to its size by nearest
    pixels, is added. The finest is smoothed by a 3x3 convolution and brought to ``out_channels`` by a 1x1 convolution.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    num_levels : int
        1 to 32.
    base_channels : int
        Channels of the finest level.
    norm : {"batch", "group", "instance"} or None
        Normalisation after each 3x3 convolution of the levels.
    final_activation : {"sigmoid", "softmax"} or None
        What is done to the output.

    Raises
    ------
    ArgumentError
        If a number is out of range, or ``norm`` or ``final_activation`` is none of these.

    References
    ----------
    .. [1] T.-Y. Lin et al., "Feature pyramid networks for object detection", CVPR 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.multiscale.PyramidNetwork(3, 2, num_levels=3, base_channels=4)
    >>> model(nx.Tensor(shape=(1, 3, 9, 6))).shape
    (1, 2, 9, 6)
    >>> [f.shape for f in model.get_features()]
    [(1, 4, 9, 6), (1, 8, 5, 3), (1, 16, 3, 2)]
    """

    _makes_segments = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_levels: int = 3,
        base_channels: int = 64,
        *,
        norm: str | None = "batch",
        final_activation: str | None = None,
    ) -> None:
        op = "PyramidNetwork"
        self.in_channels = integer(op, "in_channels", in_channels, 1)
        self.out_channels = integer(op, "out_channels", out_channels, 1)
        self.num_levels = _checks.levels(op, num_levels)
        self.base_channels = integer(op, "base_channels", base_channels, 1)
        self.norm, self.final_activation = check_norm(op, norm), check_activation(op, final_activation)
        widths = [self.base_channels << i for i in range(self.num_levels)]
        width = max(self.base_channels, self.out_channels)
        self.levels = nn.ModuleList([Level(a, b, norm) for a, b in zip([self.in_channels, *widths], widths, strict=False)])
        self.laterals = nn.ModuleList([nn.Conv2d(w, width, kernel_size=1) for w in widths])
        self.smooth = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.head = nn.Conv2d(width, self.out_channels, kernel_size=1)
        self._memory = Memory()

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, out_channels, H, W) of (N, in_channels, H, W)."""
        x = _checks.float_map("PyramidNetwork", x, self.in_channels)
        self._memory.begin(self)
        features = self._compute(x)
        maps = list(features["levels"])
        if not self._memory.keeps:
            features = {}
        out = activate(segment(self._merge, maps), self.final_activation)
        self._memory.end(self, x, features)
        return out

    def _compute(self, x: Tensor) -> Features:
        found: list[Tensor] = []
        for i in range(self.num_levels):
            x = segment(self._level, x, i)
            found.append(x)
        return {"levels": found}

    def _level(self, x: Tensor, i: int) -> Tensor:
        out: Tensor = self.levels[i](x if i == 0 else half(x))
        return out

    def _merge(self, features: list[Tensor]) -> Tensor:
        merged: Tensor = self.laterals[-1](features.pop())
        for i in reversed(range(len(features))):
            lateral = self.laterals[i](features.pop())
            merged = lateral + resize_like(merged, lateral)
        out: Tensor = self.head(self.smooth(merged))
        return out

    def get_features(self) -> list[Tensor]:
        """Bottom-up maps of the last forward pass, finest first.

        Raises
        ------
        GraphError
            Before any forward pass, or after the weights changed.

        Notes
        -----
        A pass keeps its input only: the first call computes the maps again, recorded where the pass was, so that a loss may use them.
        From then on every pass keeps its maps until the next one.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.multiscale.PyramidNetwork(3, 2, num_levels=3, base_channels=4)
        >>> y = model(nx.zeros(1, 3, 32, 32))
        >>> [f.shape for f in model.get_features()]
        [(1, 4, 32, 32), (1, 8, 16, 16), (1, 16, 8, 8)]
        """
        return self._memory.get(self, "get_features", "levels", self._compute)
