"""Losses of distances as layers: settings in the constructor, the rest in the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neurenix import ops
from neurenix.nn.loss import _Loss
from neurenix.tensor import Tensor


class GaussianNLLLoss(_Loss):
    """Likelihood of the target under normal distributions, see :func:`neurenix.nn.functional.gaussian_nll_loss`.

    The network predicts a mean and a variance for each pixel, and so says how sure it is.

    Parameters
    ----------
    full : bool
        Whether to add the constant ``log(2 pi) / 2``.
    eps : float
        The least variance, above 0.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ShapeError
        In the call, if the variances do not fit.
    RangeError
        In the call, if a variance is negative.

    Examples
    --------
    >>> import neurenix as nx
    >>> loss, error = nx.nn.GaussianNLLLoss(), 2.0  # the prediction is 2 away from the target
    >>> means, target = nx.tensor([error]), nx.tensor([0.0])
    >>> [round(loss(means, target, nx.tensor([var])).item(), 4) for var in (1.0, 4.0, 16.0)]  # least at the error's square
    [2.0, 1.1931, 1.5113]
    """

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
    """Distances of pairs that belong together (1) or apart (-1), see :func:`neurenix.nn.functional.hinge_embedding_loss`.

    Parameters
    ----------
    margin : float
        The distance at which a pair counts as apart, 1 by default.
    size_average, reduce : bool, optional
        Old names of the reduction.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import neurenix as nx
    >>> distances = nx.tensor([0.25, 0.25, 3.0])
    >>> nx.nn.HingeEmbeddingLoss(reduction="none")(distances, nx.tensor([1, -1, -1])).tolist()  # those beyond the margin cost nothing
    [0.25, 0.75, 0.0]
    """

    _margin = 1.0

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss of distances and targets 1 and -1."""
        return ops.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(_MarginLoss):
    """Whether the first of two scores is larger (1) or smaller (-1), see :func:`neurenix.nn.functional.margin_ranking_loss`.

    Parameters
    ----------
    margin : float
        By how much the one is to be larger, 0 by default.
    size_average, reduce, reduction
        As of :class:`HingeEmbeddingLoss`.

    Examples
    --------
    >>> import neurenix as nx
    >>> better, worse = nx.tensor([2.0, 0.5]), nx.tensor([1.0, 0.5])
    >>> nx.nn.MarginRankingLoss(margin=0.25, reduction="none")(better, worse, nx.tensor([1, 1])).tolist()  # equal scores are not enough
    [0.0, 0.25]
    """

    def forward(self, input1: Any, input2: Any, target: Any) -> Tensor:
        """The loss of two scores and targets 1 and -1."""
        return ops.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_MarginLoss):
    """Angles of pairs of vectors that belong together (1) or apart (-1), see :func:`neurenix.nn.functional.cosine_embedding_loss`.

    Parameters
    ----------
    margin : float
        The cosine up to which a pair counts as apart, from -1 to 1, 0 by default.
    size_average, reduce, reduction
        As of :class:`HingeEmbeddingLoss`.

    Examples
    --------
    >>> import neurenix as nx
    >>> a, b = nx.tensor([[1.0, 0.0], [1.0, 0.0]]), nx.tensor([[0.0, 3.0], [5.0, 0.0]])  # at a right angle, and parallel
    >>> loss = nx.nn.CosineEmbeddingLoss(margin=0.25, reduction="none")
    >>> loss(a, b, nx.tensor([1, -1])).numpy().round(4)  # 1 - cos, and cos - margin
    array([1.  , 0.75], dtype=float32)
    """

    def forward(self, input1: Any, input2: Any, target: Any) -> Tensor:
        """The loss of two vectors a sample and targets 1 and -1."""
        return ops.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class TripletMarginLoss(_MarginLoss):
    """An anchor nearer to a positive than to a negative by a margin, see :func:`neurenix.nn.functional.triplet_margin_loss`.

    Parameters
    ----------
    margin : float
        Above 0.
    p : float
        Order of the norm.
    eps : float
        Added to every difference: the gradient exists where they are equal.
    swap : bool
        The negative counts as near as it is to anchor or positive.
    size_average, reduce, reduction
        As of :class:`HingeEmbeddingLoss`.

    Raises
    ------
    ArgumentError
        In the call, if ``margin`` is not above 0.

    References
    ----------
    .. [1] V. Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural networks", BMVC 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> anchor, positive = nx.tensor([[0.0, 0.0]]), nx.tensor([[3.0, 4.0]])  # 5 apart
    >>> loss = nx.nn.TripletMarginLoss(margin=1.0)
    >>> [round(loss(anchor, positive, nx.tensor([[far, 0.0]])).item(), 4) for far in (2.0, 5.5, 6.5)]
    [4.0, 0.5, 0.0]
    """

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
    """:class:`TripletMarginLoss` with a distance of one's own: a function of two tensors (N, D) that gives (N,).

    Parameters
    ----------
    distance_function : callable, optional
        The Euclidean distance by default.
    margin, swap, reduction
        As of :class:`TripletMarginLoss`.

    Examples
    --------
    >>> import neurenix as nx
    >>> def by_axis(a, b):  # the Manhattan distance
    ...     return (a - b).abs().sum(-1)
    >>> loss = nx.nn.TripletMarginWithDistanceLoss(distance_function=by_axis)
    >>> loss(nx.tensor([[0.0, 0.0]]), nx.tensor([[3.0, 4.0]]), nx.tensor([[2.0, 2.0]])).item()  # 7 - 4 + 1
    4.0
    """

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
