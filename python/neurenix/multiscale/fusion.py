"""Fusion of feature maps of different sources, channels and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from neurenix import nn, ops
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.multiscale import _checks
from neurenix.nn import functional
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor

METHODS: Final = ("concat", "sum", "attention")


def check_features(op: str, features: Any, channels: Sequence[int]) -> list[Tensor]:
    """Refuse what is not one float map a source, of these channels and of one batch size and type."""
    if not isinstance(features, (list, tuple)):
        raise DTypeError(f"{op}: expected a list of {len(channels)} maps, got {type(features).__name__}; pass [x, y, ...]")
    if len(features) != len(channels):
        raise ArgumentError(f"{op}: expected {len(channels)} maps, got {len(features)}; pass one a source, in the order of the constructor")
    found = [_checks.float_map(f"{op}: feature {i}", f, c) for i, (f, c) in enumerate(zip(features, channels, strict=True))]
    for i, f in enumerate(found):
        if f.shape[0] != found[0].shape[0]:
            raise ShapeError(
                f"{op}: expected one batch size, got {found[0].shape[0]} and, for feature {i}, {f.shape[0]}; pass maps of the same images"
            )
        if f.dtype != found[0].dtype:
            raise DTypeError(
                f"{op}: expected one element type, got {found[0].dtype} and, for feature {i}, {f.dtype}; convert one with .to()"
            )
    return found


def largest(features: Sequence[Tensor]) -> tuple[int, int]:
    """The elementwise largest height and width."""
    return max(f.shape[2] for f in features), max(f.shape[3] for f in features)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """``x`` at a size, bilinearly; itself where it has it."""
    return x if x.shape[2:] == size else functional.interpolate(x, size=size, mode="bilinear")


def added(maps: Sequence[Tensor]) -> Tensor:
    """The sum, from the first to the last."""
    total = maps[0]
    for m in maps[1:]:
        total = total + m
    return total


def weighted(maps: Sequence[Tensor], scores: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The sum of maps, each weighted by the softmax over all of its score, and the weights (N, sources, H, W)."""
    if len(maps) == 1:
        return maps[0], ops.ones_like(scores[0])
    weights = functional.softmax(ops.cat(list(scores), dim=1), dim=1)
    return added([m * weights[:, i : i + 1] for i, m in enumerate(maps)]), weights


def check_weights(op: str, return_weights: Any, method: str) -> bool:
    """Refuse to give weights where there are none."""
    if _checks.flag(op, "return_weights", return_weights) and method != "attention":
        raise ArgumentError(f"{op}: expected return_weights only with fusion_method 'attention', got it with {method!r}; leave it out")
    return bool(return_weights)


class AttentionFusion(Module):
    """Fuse maps by weights that depend on the place: at each pixel a softmax over the sources.

    Parameters
    ----------
    in_channels : list of int
        Channels of each source. Each is projected to ``out_channels`` by a 1x1 convolution, then resized bilinearly to the
        elementwise largest height and width.
    out_channels : int
        Channels of the result.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> fuse = nx.multiscale.AttentionFusion([2, 4], 3)
    >>> fuse([nx.Tensor(shape=(1, 2, 8, 8)), nx.Tensor(shape=(1, 4, 4, 4))]).shape
    (1, 3, 8, 8)
    >>> _, weights = fuse([nx.Tensor(shape=(1, 2, 8, 8)), nx.Tensor(shape=(1, 4, 4, 4))], return_weights=True)
    >>> weights.shape
    (1, 2, 8, 8)
    """

    def __init__(self, in_channels: list[int], out_channels: int) -> None:
        self.in_channels = _checks.integers("AttentionFusion", "in_channels", in_channels)
        self.out_channels = integer("AttentionFusion", "out_channels", out_channels, 1)
        self.projections = nn.ModuleList([nn.Conv2d(c, self.out_channels, kernel_size=1) for c in self.in_channels])
        self.score = nn.Conv2d(self.out_channels, 1, kernel_size=1, bias=False)

    def forward(self, features: Sequence[Tensor], *, return_weights: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Give (N, out_channels, H, W) of a list of maps, one a source.

        With ``return_weights`` also each source's share at every pixel, (N, sources, H, W): they sum to 1 over the sources.
        """
        with_weights = check_weights("AttentionFusion", return_weights, "attention")
        maps = check_features("AttentionFusion", features, self.in_channels)
        size = largest(maps)
        maps = [resized(project(m), size) for project, m in zip(self.projections, maps, strict=True)]
        fused, weights = weighted(maps, [self.score(m) for m in maps])
        return (fused, weights) if with_weights else fused


class FeatureFusion(Module):
    """Fuse maps of several sources into one.

    Parameters
    ----------
    in_channels : list of int
        Channels of each source.
    out_channels : int
        Channels of the result.
    fusion_method : {"concat", "sum", "attention"}
        "concat": all channels, mixed by a 1x1 convolution. "sum": the sum, where a source whose channels differ from
        ``out_channels`` goes through a 1x1 convolution. "attention": as :class:`AttentionFusion`.

    Raises
    ------
    ArgumentError
        If a number is not an integer of at least 1, or the method is none of these.

    Notes
    -----
    Maps of different sizes are resized bilinearly to the elementwise largest height and width, after they were projected:
    a 1x1 convolution and a resize commute, and there are fewer pixels before.

    Examples
    --------
    >>> import neurenix as nx
    >>> fuse = nx.multiscale.FeatureFusion([2, 2], 2, fusion_method="sum")
    >>> fuse([nx.tensor([[[[1.0]], [[2.0]]]]), nx.tensor([[[[3.0]], [[5.0]]]])]).tolist()
    [[[[4.0]], [[7.0]]]]
    """

    def __init__(self, in_channels: list[int], out_channels: int, fusion_method: str = "concat") -> None:
        op = type(self).__name__
        self.in_channels = _checks.integers(op, "in_channels", in_channels)
        self.out_channels = integer(op, "out_channels", out_channels, 1)
        self.fusion_method = _checks.choice(op, "fusion_method", fusion_method, METHODS)
        if fusion_method == "concat":
            self.project = nn.Conv2d(sum(self.in_channels), self.out_channels, kernel_size=1)
        elif fusion_method == "sum":
            self.projections = nn.ModuleList(
                [nn.Identity() if c == self.out_channels else nn.Conv2d(c, self.out_channels, kernel_size=1) for c in self.in_channels]
            )
        else:
            self.attention = AttentionFusion(self.in_channels, self.out_channels)

    def forward(self, features: Sequence[Tensor], *, return_weights: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Give (N, out_channels, H, W) of a list of maps, one a source.

        With ``return_weights``, for "attention" only, also each source's share at every pixel, (N, sources, H, W).
        """
        op = type(self).__name__
        with_weights = check_weights(op, return_weights, self.fusion_method)
        return self._fused(check_features(op, features, self.in_channels), with_weights)

    def _fused(self, maps: list[Tensor], with_weights: bool) -> Tensor | tuple[Tensor, Tensor]:
        size = largest(maps)
        if self.fusion_method == "attention":
            out: Tensor | tuple[Tensor, Tensor] = self.attention(maps, return_weights=with_weights)
        elif self.fusion_method == "sum":
            out = added([resized(project(m), size) for project, m in zip(self.projections, maps, strict=True)])
        else:
            out = added([resized(m, size) for m in self._projected(maps)])
        return out

    def _projected(self, maps: list[Tensor]) -> list[Tensor]:
        """Each source through its columns of the one 1x1 convolution; the bias goes with the first."""
        found, start = [], 0
        for i, (m, c) in enumerate(zip(maps, self.in_channels, strict=True)):
            weight = self.project.weight[:, start : start + c]
            found.append(functional.conv2d(m, weight, self.project.bias if i == 0 else None))
            start += c
        return found


class ScaleFusion(FeatureFusion):
    """Fuse maps of one image at several scales into one, at the largest scale's size.

    Parameters
    ----------
    scales : list of float
        The scales, in the order of the maps.
    in_channels : int
        Channels of each map.
    out_channels : int
        Channels of the result.
    fusion_method : {"concat", "sum", "attention"}
        As for :class:`FeatureFusion`.

    Raises
    ------
    ArgumentError
        If a scale is not a finite number above 0 or occurs twice, a number is not an integer of at least 1, or the method is
        none of these.

    Examples
    --------
    >>> import neurenix as nx
    >>> fuse = nx.multiscale.ScaleFusion([0.5, 1.0], 4, 3)
    >>> fuse([nx.Tensor(shape=(1, 4, 3, 4)), nx.Tensor(shape=(1, 4, 6, 8))]).shape
    (1, 3, 6, 8)
    """

    def __init__(self, scales: list[float], in_channels: int, out_channels: int, fusion_method: str = "concat") -> None:
        self.scales = _checks.scales("ScaleFusion", scales)
        channels = integer("ScaleFusion", "in_channels", in_channels, 1)
        super().__init__([channels] * len(self.scales), out_channels, fusion_method)

    def forward(self, features: Sequence[Tensor], *, return_weights: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Give (N, out_channels, H, W) of a list of maps, one a scale.

        With ``return_weights``, for "attention" only, also each scale's share at every pixel, (N, scales, H, W).

        Raises
        ------
        ArgumentError
            If there are more or fewer maps than scales, or weights are asked of another method.
        ShapeError
            If sizes do not follow the scales within a pixel.
        """
        with_weights = check_weights("ScaleFusion", return_weights, self.fusion_method)
        maps = check_features("ScaleFusion", features, self.in_channels)
        top = max(range(len(maps)), key=self.scales.__getitem__)
        size = maps[top].shape[2:]
        for m, scale in zip(maps, self.scales, strict=True):
            want = [max(1.0, n * scale / self.scales[top]) for n in size]
            if any(abs(n - w) > 1 + 1e-6 for n, w in zip(m.shape[2:], want, strict=True)):
                near = tuple(round(w) for w in want)
                raise ShapeError(
                    f"ScaleFusion: expected a map of about {near} at scale {scale} ({size} at {self.scales[top]}), got {m.shape[2:]}; "
                    "pass the maps in the order of scales"
                )
        return self._fused(maps, with_weights)
