"""Losses of distances as layers: settings in the constructor, the rest in the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neurenix import ops
from neurenix.nn.loss import _Loss
from neurenix.tensor import Tensor


class GaussianNLLLoss(_Loss):
    """Likelihood under normal distributions, see :func:`neurenix.nn.functional.gaussian_nll_loss`."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Any, target: Any, var: Any) -> Tensor:
        """The loss of means, targets and variances."""
        return ops.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class _MarginLoss(_Loss):
    """What losses with a margin share."""

    _margin = 0.0

    def __init__(
        self, margin: float | None = None, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = self._margin if margin is None else margin

    def extra_repr(self) -> str:
        """The settings."""
        return ", ".join(filter(None, (f"margin={self.margin}", super().extra_repr())))


class HingeEmbeddingLoss(_MarginLoss):
    """Distances of pairs that belong together or apart, see :func:`neurenix.nn.functional.hinge_embedding_loss`."""

    _margin = 1.0

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss of distances and targets 1 and -1."""
        return ops.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(_MarginLoss):
    """Which of two is larger, see :func:`neurenix.nn.functional.margin_ranking_loss`."""

    def forward(self, input1: Any, input2: Any, target: Any) -> Tensor:
        """The loss of two scores and targets 1 and -1."""
        return ops.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_MarginLoss):
    """Angles of pairs that belong together or apart, see :func:`neurenix.nn.functional.cosine_embedding_loss`."""

    def forward(self, input1: Any, input2: Any, target: Any) -> Tensor:
        """The loss of two vectors a sample and targets 1 and -1."""
        return ops.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class TripletMarginLoss(_MarginLoss):
    """An anchor nearer to one than to another, see :func:`neurenix.nn.functional.triplet_margin_loss`."""

    _margin = 1.0

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(margin, size_average, reduce, reduction)
        self.p, self.eps, self.swap = p, eps, swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Tensor:
        """The loss of triplets."""
        return ops.triplet_margin_loss(anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction)


class TripletMarginWithDistanceLoss(_MarginLoss):
    """:class:`TripletMarginLoss` with a distance of one's own."""

    _margin = 1.0

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(margin, reduction=reduction)
        self.distance_function, self.swap = distance_function, swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Tensor:
        """The loss of triplets."""
        how: dict[str, Any] = {
            "distance_function": self.distance_function,
            "margin": self.margin,
            "swap": self.swap,
            "reduction": self.reduction,
        }
        return ops.triplet_margin_with_distance_loss(anchor, positive, negative, **how)
