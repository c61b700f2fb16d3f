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

    Raises
    ------
    ShapeError
        In the call, if prediction and target have different shapes: a mask (N, H, W) does not fit (N, 1, H, W).
    ArgumentError
        In the call, if a probability lies outside [0, 1]; in the constructor for an unknown reduction.

    Notes
    -----
    Probabilities that come from ``sigmoid`` are computed from its logits, so a saturated output still learns.

    Examples
    --------
    >>> import neurenix as nx
    >>> loss = nx.nn.BCELoss()
    >>> probabilities, mask = nx.tensor([[[[0.5, 0.9]]]]), nx.tensor([[[[1, 1]]]])  # (N, 1, H, W)
    >>> round(loss(probabilities, mask).item(), 4)  # -(log 0.5 + log 0.9) / 2
    0.3993
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

    Prediction and target have one shape, (N, 1, H, W) for a mask; the prediction is floats, the target 0 and 1 of any type.

    Parameters
    ----------
    weight : Tensor, optional
    size_average, reduce : bool, optional
    reduction : {"mean", "sum", "none"}
    pos_weight : Tensor, optional
        Weight of positive targets.
    ignore_index : number, optional
        Value of the target where an element does not count.

    Raises
    ------
    ShapeError
        In the call, if the shapes differ.
    ArgumentError
        In the call, if the prediction is the output of ``sigmoid`` or ``softmax``; in the constructor for an unknown reduction.

    Examples
    --------
    >>> import neurenix as nx
    >>> loss = nx.nn.BCEWithLogitsLoss(pos_weight=nx.tensor([3.0]))  # the foreground is rare: a miss costs three times as much
    >>> missed, false_alarm = loss(nx.tensor([[-2.0]]), nx.tensor([[1.0]])), loss(nx.tensor([[2.0]]), nx.tensor([[0.0]]))
    >>> round(missed.item() / false_alarm.item(), 4)
    3.0
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

    Raises
    ------
    ArgumentError
        In the call, if a class number is neither below C nor ``ignore_index``, or the prediction is the output of softmax.
    ShapeError
        In the call, if logits (N, C, ...) and target do not fit.

    Examples
    --------
    >>> import neurenix as nx
    >>> logits = nx.tensor([[[[2.0, 0.0]], [[0.0, 0.0]]]])  # (N, C, H, W): two classes at two pixels
    >>> loss = nx.nn.CrossEntropyLoss(ignore_index=255)
    >>> round(loss(logits, nx.tensor([[[0, 1]]])).item(), 4)  # (log(1 + exp(-2)) + log 2) / 2
    0.41
    >>> round(loss(logits, nx.tensor([[[0, 255]]])).item(), 4)  # the second pixel does not count
    0.1269
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

    Raises
    ------
    ArgumentError
        In the call, if a class number is neither below C nor ``ignore_index``.

    Examples
    --------
    >>> import neurenix as nx
    >>> log_probabilities = nx.tensor([[[0.5, 0.25], [0.5, 0.75]]]).log()  # (N, C, L): two classes at two pixels
    >>> loss = nx.nn.NLLLoss(ignore_index=255)
    >>> round(loss(log_probabilities, nx.tensor([[0, 255]])).item(), 4)  # -log(0.5): the second pixel does not count
    0.6931
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
    """Squared error ``(x - t)^2`` of tensors of one shape, see :func:`neurenix.nn.functional.mse_loss`; ``mask`` in the call leaves elements out.

    Examples
    --------
    >>> import neurenix as nx
    >>> prediction, target = nx.tensor([1.0, 3.0, 9.0]), nx.tensor([1.0, 1.0, 0.0])
    >>> nx.nn.MSELoss()(prediction, target, mask=nx.tensor([True, True, False])).item()  # the mean over the two that count
    2.0
    >>> nx.nn.MSELoss(reduction="none")(prediction, target).tolist()
    [0.0, 4.0, 81.0]
    """

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss."""
        return ops.mse_loss(input, target, reduction=self.reduction, mask=mask)


class L1Loss(_Loss):
    """Absolute error ``|x - t|`` of tensors of one shape, see :func:`neurenix.nn.functional.l1_loss`; ``mask`` in the call leaves elements out.

    Examples
    --------
    >>> import neurenix as nx
    >>> prediction = nx.tensor([1.0, 4.0], requires_grad=True)
    >>> nx.nn.L1Loss()(prediction, nx.tensor([1.0, 1.0])).backward()
    >>> prediction.grad.tolist()  # 0 where they are equal, else of one size however far they lie apart
    [0.0, 0.5]
    """

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss."""
        return ops.l1_loss(input, target, reduction=self.reduction, mask=mask)


class SmoothL1Loss(_Loss):
    """``d^2 / (2 beta)`` for ``d = |x - t|`` below ``beta``, else ``d - beta / 2``, see :func:`neurenix.nn.functional.smooth_l1_loss`.

    Examples
    --------
    >>> import neurenix as nx
    >>> loss = nx.nn.SmoothL1Loss(reduction="none", beta=2.0)
    >>> loss(nx.tensor([0.0, 1.0, 2.0, 10.0]), nx.zeros(4)).tolist()
    [0.0, 0.25, 1.0, 9.0]
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss."""
        return ops.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta, mask=mask)


class HuberLoss(_Loss):
    """``d^2 / 2`` for ``d = |x - t|`` up to ``delta``, else ``delta (d - delta / 2)``, see :func:`neurenix.nn.functional.huber_loss`.

    Raises
    ------
    ArgumentError
        If ``delta`` is not a number, or in the call not above 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> loss = nx.nn.HuberLoss(reduction="none", delta=2.0)  # delta times SmoothL1Loss(beta=delta)
    >>> loss(nx.tensor([0.0, 1.0, 2.0, 10.0]), nx.zeros(4)).tolist()
    [0.0, 0.5, 2.0, 18.0]
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        if not isinstance(delta, (int, float)):
            raise ArgumentError(f"HuberLoss: expected delta as a number, got {delta!r}; pass e.g. delta=1.0")
        self.delta = delta

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss."""
        return ops.huber_loss(input, target, self.reduction, self.delta, mask=mask)


class KLDivLoss(_Loss):
    """Kullback and Leibler's divergence of log-probabilities, see :func:`neurenix.nn.functional.kl_div`.

    ``reduction="batchmean"`` divides the sum by the batch's size, which is the divergence itself; "mean" divides by all elements. With
    ``log_target`` the target is logarithms, too.

    Examples
    --------
    >>> import neurenix as nx
    >>> student, teacher = nx.tensor([[0.5, 0.5]]), nx.tensor([[0.25, 0.75]])
    >>> round(nx.nn.KLDivLoss(reduction="batchmean")(student.log(), teacher).item(), 4)  # 0.25 log(0.5) + 0.75 log(1.5)
    0.1308
    """

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
    """Negative log likelihood of counts, such as photons in a pixel, see :func:`neurenix.nn.functional.poisson_nll_loss`.

    The prediction is the logarithm of the rate, without ``log_input`` the rate itself, to which ``eps`` is added before the logarithm;
    ``full`` adds Stirling's approximation of ``log t!``.

    Examples
    --------
    >>> import neurenix as nx
    >>> counts = nx.tensor([4.0])
    >>> loss = nx.nn.PoissonNLLLoss(log_input=False)
    >>> [round(loss(nx.tensor([rate]), counts).item(), 4) for rate in (2.0, 4.0, 8.0)]  # least where the rate is the count
    [-0.7726, -1.5452, -0.3178]
    """

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
