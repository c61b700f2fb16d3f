"""Normalisation of each channel of each sample by itself."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix._typing import DeviceLike, DTypeLike
from neurenix.nn.norm import _Norm
from neurenix.tensor import Tensor


class InstanceNorm2d(_Norm):
    """Normalise each channel of each sample of (N, C, H, W) or (C, H, W), see :func:`neurenix.nn.functional.instance_norm`.

    The parameters are those of :class:`BatchNorm2d`, ``affine`` and ``track_running_stats`` off by default.

    Raises
    ------
    ShapeError
        In the call, for another number of axes or channels.

    References
    ----------
    .. [1] D. Ulyanov et al., "Instance normalization: the missing ingredient for fast stylization", arXiv:1607.08022, 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[[1.0, 3.0]], [[100.0, 300.0]]]])  # a dark and a bright channel
    >>> nx.nn.InstanceNorm2d(2)(x).numpy().round(3)
    array([[[[-1.,  1.]],
    <BLANKLINE>
            [[-1.,  1.]]]], dtype=float32)
    """

    _unbatched: int | None = 3

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _begin(self) -> tuple[bool, float]:
        """As of batch norms, but batches are not counted."""
        return self.training or self.running_mean is None, 0.0 if self.momentum is None else self.momentum

    def _count(self) -> None:
        """Batches are not counted."""

    def forward(self, input: Any) -> Tensor:
        """Normalise, and move the running statistics while training."""
        self._check_input(input)
        own, momentum = self._begin()
        single = input.ndim == self._unbatched
        x = input.unsqueeze(0) if single else input
        y = ops.instance_norm(x, self.running_mean, self.running_var, self.weight, self.bias, own, momentum, self.eps)
        return y.squeeze(0) if single else y


class InstanceNorm1d(InstanceNorm2d):
    """Normalise each channel of each sample of (N, C, L) or (C, L), see :class:`InstanceNorm2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[1.0, 3.0]], [[100.0, 300.0]]])  # two samples, each by itself
    >>> nx.nn.InstanceNorm1d(1)(x).numpy().round(3)
    array([[[-1.,  1.]],
    <BLANKLINE>
           [[-1.,  1.]]], dtype=float32)
    """

    _ndims = (3,)
    _unbatched = 2


class InstanceNorm3d(InstanceNorm2d):
    """Normalise each channel of each sample of (N, C, D, H, W) or (C, D, H, W), see :class:`InstanceNorm2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.InstanceNorm3d(4, affine=True)
    >>> layer(nx.randn(2, 4, 3, 8, 8)).shape, layer.weight.shape
    ((2, 4, 3, 8, 8), (4,))
    """

    _ndims = (5,)
    _unbatched = 4
