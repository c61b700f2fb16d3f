"""Losses of scores against classes and signs as layers: soft margin, hinge losses over classes."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix.nn.loss import _Loss, _WeightedLoss
from neurenix.tensor import Tensor


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-t x))`` for scores x and targets t, 1 and -1, of one shape, see :func:`neurenix.nn.functional.soft_margin_loss`.

    Examples
    --------
    >>> import neurenix as nx
    >>> loss = nx.nn.SoftMarginLoss(reduction="none")
    >>> loss(nx.tensor([0.0, 20.0, -20.0]), nx.tensor([1, 1, 1])).numpy().round(4)  # undecided: log 2; right; wrong
    array([ 0.6931,  0.    , 20.    ], dtype=float32)
    """

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss."""
        return ops.soft_margin_loss(input, target, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """The hinge loss over classes, see :func:`neurenix.nn.functional.multi_margin_loss`: scores (N, C), class numbers (N,).

    Parameters
    ----------
    p : {1, 2}
        Power of the hinge.
    margin : float
        By how much the true class is to lead.
    weight : Tensor, shape (C,), optional
        A weight a class.
    size_average, reduce : bool, optional
        Old names of the reduction.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ArgumentError
        In the call, if ``p`` is neither 1 nor 2.

    Examples
    --------
    >>> import neurenix as nx
    >>> scores = nx.tensor([[1.0, 0.5, 3.0]])
    >>> round(nx.nn.MultiMarginLoss()(scores, nx.tensor([0])).item(), 4)  # (max(0, 1 - 1 + 0.5) + max(0, 1 - 1 + 3)) / 3
    1.1667
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.p, self.margin = p, margin

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss of scores and class numbers."""
        return ops.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class MultiLabelMarginLoss(_Loss):
    """The hinge loss over lists of classes, see :func:`neurenix.nn.functional.multilabel_margin_loss`.

    Scores are (N, C), and so are the targets: each row lists its classes and is filled up with -1.

    Examples
    --------
    >>> import neurenix as nx
    >>> scores = nx.tensor([[1.0, 0.5, 3.0]])
    >>> target = nx.tensor([[2, -1, -1]])  # this sample is of class 2 only
    >>> nx.nn.MultiLabelMarginLoss()(scores, target).item()  # 3.0 beats both others by more than 1
    0.0
    """

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss of scores and lists of class numbers that end at -1."""
        return ops.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Binary cross entropy of logits over classes, see :func:`neurenix.nn.functional.multilabel_soft_margin_loss`.

    Logits and targets, a 0 or 1 for each class, are (N, C); the loss of a sample is the mean over its classes.

    Examples
    --------
    >>> import neurenix as nx
    >>> loss = nx.nn.MultiLabelSoftMarginLoss(reduction="none")
    >>> logits = nx.tensor([[0.0, 0.0], [20.0, -20.0]])
    >>> loss(logits, nx.tensor([[1, 0], [1, 0]])).numpy().round(4)  # one loss a sample: undecided, and right
    array([0.6931, 0.    ], dtype=float32)
    """

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss of logits and a 0 or 1 a class."""
        return ops.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)
