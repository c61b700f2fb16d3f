"""Losses as layers: settings in the constructor, prediction and target in the call."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix.errors import ArgumentError
from neurenix.nn.module import Module
from neurenix.nn.parameter import Buffer
from neurenix.ops._reduction import reduction_of
from neurenix.tensor import Tensor


class _Loss(Module):
    """What losses share: the reduction."""

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        self.reduction = reduction_of(type(self).__name__, reduction, size_average, reduce)

    def extra_repr(self) -> str:
        """The reduction where it is not the mean."""
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class _WeightedLoss(_Loss):
    """A loss with weights, which are saved as a buffer."""

    weight: Buffer | None

    def __init__(self, weight: Any = None, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)
        self.weight = None if weight is None else Buffer(weight)


class BCELoss(_WeightedLoss):
    """Binary cross entropy of probabilities, see :func:`neurenix.nn.functional.binary_cross_entropy`.

    Parameters
    ----------
    weight : Tensor, optional
        Spreads over the prediction.
    size_average, reduce : bool, optional
        Old names of the reduction.
    reduction : {"mean", "sum", "none"}
    ignore_index : number, optional
        Value of the target where an element does not count.

    Notes
    -----
    Probabilities that come from ``sigmoid`` are computed from its logits, so a saturated output still learns.

    Examples
    --------
    >>> import neurenix as nx
    >>> round(nx.nn.BCELoss()(nx.tensor([0.5]), nx.tensor([1])).item(), 4)
    0.6931
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        ignore_index: float | None = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Any, target: Any, mask: Any = None, pixel_weight: Any = None) -> Tensor:
        """The loss; where ``mask`` is false an element does not count, and ``pixel_weight`` says how much the others do."""
        settings: dict[str, Any] = {"mask": mask, "ignore_index": self.ignore_index, "pixel_weight": pixel_weight}
        return ops.binary_cross_entropy(input, target, self.weight, reduction=self.reduction, **settings)


class BCEWithLogitsLoss(_WeightedLoss):
    """Binary cross entropy of logits, see :func:`neurenix.nn.functional.binary_cross_entropy_with_logits`.

    Parameters
    ----------
    weight : Tensor, optional
    size_average, reduce : bool, optional
    reduction : {"mean", "sum", "none"}
    pos_weight : Tensor, optional
        Weight of positive targets.
    ignore_index : number, optional
        Value of the target where an element does not count.
    """

    pos_weight: Buffer | None

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Any = None,
        *,
        ignore_index: float | None = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.pos_weight = None if pos_weight is None else Buffer(pos_weight)
        self.ignore_index = ignore_index

    def forward(self, input: Any, target: Any, mask: Any = None, pixel_weight: Any = None) -> Tensor:
        """The loss; where ``mask`` is false an element does not count, and ``pixel_weight`` says how much the others do."""
        settings: dict[str, Any] = {
            "reduction": self.reduction,
            "pos_weight": self.pos_weight,
            "mask": mask,
            "ignore_index": self.ignore_index,
            "pixel_weight": pixel_weight,
        }
        return ops.binary_cross_entropy_with_logits(input, target, self.weight, **settings)


class CrossEntropyLoss(_WeightedLoss):
    """Cross entropy of logits over classes, see :func:`neurenix.nn.functional.cross_entropy`.

    Parameters
    ----------
    weight : Tensor, shape (C,), optional
    size_average, reduce : bool, optional
    ignore_index : int
        A class number that does not count.
    reduction : {"mean", "sum", "none"}
    label_smoothing : float
        The share of the target that is spread evenly over all classes.

    Examples
    --------
    >>> import neurenix as nx
    >>> round(nx.nn.CrossEntropyLoss()(nx.tensor([[0.0, 0.0]]), nx.tensor([1])).item(), 4)
    0.6931
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Any, target: Any, mask: Any = None, pixel_weight: Any = None) -> Tensor:
        """The loss of logits and class numbers or probabilities; ``mask`` and ``pixel_weight`` say how much each pixel counts."""
        settings: dict[str, Any] = {"ignore_index": self.ignore_index, "reduction": self.reduction, "label_smoothing": self.label_smoothing}
        return ops.cross_entropy(input, target, self.weight, mask=mask, pixel_weight=pixel_weight, **settings)


class NLLLoss(_WeightedLoss):
    """Negative log likelihood of log-probabilities over classes, see :func:`neurenix.nn.functional.nll_loss`.

    Parameters
    ----------
    weight : Tensor, shape (C,), optional
    size_average, reduce : bool, optional
    ignore_index : int
        A class number that does not count.
    reduction : {"mean", "sum", "none"}
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Any, target: Any, mask: Any = None, pixel_weight: Any = None) -> Tensor:
        """The loss of log-probabilities and class numbers; ``mask`` and ``pixel_weight`` say how much each pixel counts."""
        settings: dict[str, Any] = {"ignore_index": self.ignore_index, "reduction": self.reduction}
        return ops.nll_loss(input, target, self.weight, mask=mask, pixel_weight=pixel_weight, **settings)


class MSELoss(_Loss):
    """Squared error, see :func:`neurenix.nn.functional.mse_loss`; ``mask`` in the call leaves elements out."""

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss."""
        return ops.mse_loss(input, target, reduction=self.reduction, mask=mask)


class L1Loss(_Loss):
    """Absolute error, see :func:`neurenix.nn.functional.l1_loss`; ``mask`` in the call leaves elements out."""

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss."""
        return ops.l1_loss(input, target, reduction=self.reduction, mask=mask)


class SmoothL1Loss(_Loss):
    """Squared error below ``beta``, absolute above, see :func:`neurenix.nn.functional.smooth_l1_loss`."""

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss."""
        return ops.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta, mask=mask)


class HuberLoss(_Loss):
    """Squared error up to ``delta``, absolute above, see :func:`neurenix.nn.functional.huber_loss`."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        if not isinstance(delta, (int, float)):
            raise ArgumentError(f"HuberLoss: expected delta as a number, got {delta!r}; pass e.g. delta=1.0")
        self.delta = delta

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss."""
        return ops.huber_loss(input, target, self.reduction, self.delta, mask=mask)


class KLDivLoss(_Loss):
    """Kullback and Leibler's divergence, see :func:`neurenix.nn.functional.kl_div`; ``reduction`` may be "batchmean"."""

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", log_target: bool = False
    ) -> None:
        batch = reduction == "batchmean"
        super().__init__(size_average, reduce, "mean" if batch else reduction)
        self.reduction = reduction if batch else self.reduction
        self.log_target = log_target

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss of log-probabilities and probabilities."""
        return ops.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(_Loss):
    """Negative log likelihood of counts, see :func:`neurenix.nn.functional.poisson_nll_loss`."""

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss of rates and counts."""
        settings: dict[str, Any] = {"log_input": self.log_input, "full": self.full, "eps": self.eps, "reduction": self.reduction}
        return ops.poisson_nll_loss(input, target, **settings)


class SoftMarginLoss(_Loss):
    """``log(1 + exp(-t x))`` for targets 1 and -1, see :func:`neurenix.nn.functional.soft_margin_loss`."""

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss."""
        return ops.soft_margin_loss(input, target, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """The hinge loss over classes, see :func:`neurenix.nn.functional.multi_margin_loss`."""

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
    """The hinge loss over lists of classes, see :func:`neurenix.nn.functional.multilabel_margin_loss`."""

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss of scores and lists of class numbers that end at -1."""
        return ops.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Binary cross entropy of logits over classes, see :func:`neurenix.nn.functional.multilabel_soft_margin_loss`."""

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss of logits and a 0 or 1 a class."""
        return ops.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)
