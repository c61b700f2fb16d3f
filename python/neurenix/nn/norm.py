"""Normalisation layers."""

from __future__ import annotations

import math
import warnings
from typing import Any

from neurenix import ops
from neurenix._typing import DeviceLike, DTypeLike
from neurenix.errors import ArgumentError, NeurenixWarning, ShapeError
from neurenix.nn import init
from neurenix.nn.module import Module
from neurenix.nn.parameter import Buffer, Parameter
from neurenix.ops import state
from neurenix.ops._arguments import integer
from neurenix.ops.norm import is_rerun
from neurenix.tensor import Tensor

FEW_UPDATES = 10  # running statistics of fewer batches are not to be trusted


def _number(layer: str, name: str, value: Any, least: float = 0.0) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
        raise ArgumentError(f"{layer}: expected {name} of at least {least}, got {value!r}; pass e.g. {name}=1e-5")
    return float(value)


def _filled(value: float, shape: tuple[int, ...], device: DeviceLike | None, dtype: DTypeLike | None) -> Tensor:
    return init.constant_(Tensor(shape=shape, dtype=dtype, device=device), value)


class _Norm(Module):
    """Weight, bias and running statistics of a layer that normalises channels."""

    _ndims: tuple[int, ...] = (4,)
    _unbatched: int | None = None
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Buffer | None
    running_var: Buffer | None
    num_batches_tracked: Buffer | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
        *,
        bias: bool = True,
    ) -> None:
        name = type(self).__name__
        self.num_features = c = integer(name, "num_features", num_features, 1)
        self.eps = _number(name, "eps", eps)
        self.momentum = None if momentum is None else _number(name, "momentum", momentum)
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(_filled(1.0, (c,), device, dtype)) if affine else None
        self.bias = Parameter(_filled(0.0, (c,), device, dtype)) if affine and bias else None
        self.running_mean = Buffer(_filled(0.0, (c,), device, dtype)) if track_running_stats else None
        self.running_var = Buffer(_filled(1.0, (c,), device, dtype)) if track_running_stats else None
        self.num_batches_tracked = Buffer(Tensor(shape=(), dtype="int64", device=device)) if track_running_stats else None
        self._warned = False

    def reset_running_stats(self) -> None:
        """Forget the running statistics: mean 0, variance 1, no batches seen.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer = nx.nn.BatchNorm1d(2)
        >>> _ = layer(nx.tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> layer.reset_running_stats()
        >>> layer.running_mean.tolist(), layer.num_batches_tracked.item()
        ([0.0, 0.0], 0)
        """
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def _check_input(self, x: Tensor) -> None:
        """Refuse an input of another number of axes or channels."""
        name, c = type(self).__name__, self.num_features
        if x.ndim not in self._ndims and x.ndim != self._unbatched:
            axes = " or ".join(str(n) for n in self._ndims)
            hint = "add the batch axis with x.unsqueeze(0)" if x.ndim + 1 in self._ndims else "reshape it"
            raise ShapeError(f"{name}: expected an input with {axes} axes, got {x.shape}; {hint}")
        channels = x.shape[0 if x.ndim == self._unbatched else 1]
        if channels != c:
            raise ShapeError(f"{name}: expected an input with {c} channels, got {x.shape}; pass num_features={channels} to the layer")

    def _begin(self) -> tuple[bool, float]:
        """Whether to use a batch's own statistics, and how far running ones move towards them."""
        own = self.training or self.running_mean is None
        if self.momentum is not None or not self.training or self.num_batches_tracked is None:
            return own, 0.0 if self.momentum is None else self.momentum
        return own, 1.0 / (float(self.num_batches_tracked.item()) + (0 if is_rerun() else 1))

    def _count(self) -> None:
        """Count a batch that went through."""
        if self.training and self.num_batches_tracked is not None and not is_rerun():
            state.count(self.num_batches_tracked)

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"{type(self).__name__}: {text}", NeurenixWarning, stacklevel=6)

    def extra_repr(self) -> str:
        """Settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm2d(_Norm):
    """Normalise each channel of (N, C, H, W) over the batch, see :func:`neurenix.nn.functional.batch_norm`.

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float
        Added to the variance.
    momentum : float or None
        How far the running statistics move each batch; their plain average if ``None``.
    affine : bool
        Whether to scale and shift by trained parameters.
    track_running_stats : bool
        Whether to keep statistics for evaluation.
    device, dtype
        Of the parameters.
    bias : bool
        Whether the affine part has a shift.

    Attributes
    ----------
    weight, bias : Parameter, shape (C,), or None
    running_mean, running_var : Buffer, shape (C,), or None
    num_batches_tracked : Buffer, 0-d, or None

    Raises
    ------
    ArgumentError
        If a setting is no number, or too small.
    ShapeError
        In the call, for another number of axes or channels.

    Notes
    -----
    Batches of one pixel a channel are accepted: the output is the bias then, and the layer warns once. It also warns once in
    evaluation when its statistics saw some batches, but fewer than 10.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate shift", ICML 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer, x = nx.nn.BatchNorm2d(1, momentum=0.5), nx.tensor([[[[0.0, 4.0]]]])  # mean 2, variance 4
    >>> layer(x).numpy().round(3)  # in training by the batch's own statistics
    array([[[[-1.,  1.]]]], dtype=float32)
    >>> layer.running_mean.tolist(), layer.running_var.tolist()  # half way from 0 and 1; of the unbiased variance 8
    ([1.0], [4.5])
    """

    _looked: tuple[int, int, Tensor | None] = (0, 0, None)  # the number of batches, its version, and its tensor

    def forward(self, input: Any) -> Tensor:
        """Normalise, and move the running statistics while training."""
        self._check_input(input)
        self._watch(input)
        own, momentum = self._begin()
        y = ops.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, own, momentum, self.eps)
        self._count()
        return y

    def _watch(self, x: Tensor) -> None:
        """Warn once of one value a channel in training, or of running statistics of few batches in evaluation."""
        if self._warned:
            return
        if self.training and x.shape[0] * math.prod(x.shape[2:]) == 1:
            self._warn(
                "expected more than one value a channel in training, got one; its output is the bias. "
                "Use larger batches, or norm='group' or norm='instance'"
            )
        elif not self.training and self.num_batches_tracked is not None and 0 < self._updates(self.num_batches_tracked) < FEW_UPDATES:
            seen = self.num_batches_tracked.item()
            self._warn(f"expected running statistics of {FEW_UPDATES} batches or more in evaluation, got {seen}; train longer first")

    def _updates(self, tracked: Tensor) -> int:
        """How many batches the running statistics saw, by the last look at a value that only we can change."""
        number, version, looked_at = self._looked
        if looked_at is not tracked or version != tracked._version or tracked._exposed:
            number = tracked.item()
            self._looked = (number, tracked._version, tracked)
        return number


class BatchNorm1d(BatchNorm2d):
    """Normalise each channel of (N, C) or (N, C, L) over the batch, see :class:`BatchNorm2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.BatchNorm1d(2)
    >>> layer(nx.tensor([[1.0, 10.0], [3.0, 30.0]])).numpy().round(3)  # both columns on one scale
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """

    _ndims = (2, 3)


class BatchNorm3d(BatchNorm2d):
    """Normalise each channel of (N, C, D, H, W) over the batch, see :class:`BatchNorm2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.BatchNorm3d(2)
    >>> y = layer(nx.randn(4, 2, 3, 8, 8))
    >>> y.std((0, 2, 3, 4)).numpy().round(2)  # of each channel, over samples and voxels
    array([1., 1.], dtype=float32)
    """

    _ndims = (5,)


class GroupNorm(Module):
    """Normalise groups of channels of each sample of (N, C, ...), see :func:`neurenix.nn.functional.group_norm`.

    Parameters
    ----------
    num_groups, num_channels : int
        The first divides the second.
    eps : float
    affine : bool
        Whether to scale and shift by trained parameters.
    device, dtype
        Of the parameters.
    bias : bool
        Whether the affine part has a shift.

    Raises
    ------
    ArgumentError
        If the groups do not divide the channels.
    ShapeError
        In the call, for another number of channels.

    References
    ----------
    .. [1] Y. Wu and K. He, "Group normalization", ECCV 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[1.0], [3.0], [100.0], [300.0]]])  # (N, C, L): four channels of one pixel
    >>> nx.nn.GroupNorm(2, 4)(x).numpy().round(3).ravel()  # two and two are normalised together
    array([-1.,  1., -1.,  1.], dtype=float32)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
        *,
        bias: bool = True,
    ) -> None:
        self.num_groups = integer("GroupNorm", "num_groups", num_groups, 1)
        self.num_channels = c = integer("GroupNorm", "num_channels", num_channels, 1)
        if c % self.num_groups:
            raise ArgumentError(f"GroupNorm: expected groups that divide {c} channels, got {num_groups}; pass a divisor")
        self.eps, self.affine = _number("GroupNorm", "eps", eps), affine
        self.weight = Parameter(_filled(1.0, (c,), device, dtype)) if affine else None
        self.bias = Parameter(_filled(0.0, (c,), device, dtype)) if affine and bias else None

    def forward(self, input: Any) -> Tensor:
        """Normalise."""
        if input.ndim < 2 or input.shape[1] != self.num_channels:
            raise ShapeError(f"GroupNorm: expected (N, {self.num_channels}, ...), got {input.shape}; pass num_channels to fit the input")
        return ops.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Settings."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"
