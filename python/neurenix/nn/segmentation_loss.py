"""Losses of segmentations and images as layers: focal, Lovász, boundary, similarity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix import ops
from neurenix.nn.loss import _WeightedLoss
from neurenix.nn.module import Module
from neurenix.nn.parameter import Buffer
from neurenix.ops._overlap import check_activation
from neurenix.ops._reduction import reduced_as, reduction_of
from neurenix.ops.focal_loss import exponent
from neurenix.ops.ssim import MS_WEIGHTS
from neurenix.tensor import Tensor


class FocalLoss(_WeightedLoss):
    """The focal loss of logits over classes, see :func:`neurenix.nn.functional.focal_loss`.

    Parameters
    ----------
    weight : Tensor, shape (C,), optional
        A weight a class.
    gamma : float
        The larger, the less easy pixels count.
    ignore_index : int
        A class number that does not count.
    reduction : {"mean", "sum", "none"}
    """

    def __init__(self, weight: Any = None, gamma: float = 2.0, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, reduction=reduction)
        self.gamma, self.ignore_index = exponent("FocalLoss", gamma), ignore_index

    def forward(self, input: Any, target: Any, mask: Any = None, pixel_weight: Any = None) -> Tensor:
        """The loss of logits (N, C, ...) and class numbers (N, ...)."""
        maps = {"mask": mask, "pixel_weight": pixel_weight}
        return ops.focal_loss(input, target, self.weight, self.gamma, self.ignore_index, self.reduction, **maps)


class SigmoidFocalLoss(Module):
    """The focal loss of logits and masks, see :func:`neurenix.nn.functional.sigmoid_focal_loss`.

    Parameters
    ----------
    alpha : float
        Weight of positives, ``1 - alpha`` that of negatives; negative for none.
    gamma : float
        The larger, the less easy elements count.
    reduction : {"mean", "sum", "none"}
    ignore_index : number, optional
        Value of the target where an element does not count.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean", *, ignore_index: float | None = None) -> None:
        self.alpha, self.gamma, self.ignore_index = alpha, exponent("SigmoidFocalLoss", gamma), ignore_index
        self.reduction = reduction_of("SigmoidFocalLoss", reduction, None, None)

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss of logits and targets of their shape."""
        settings: dict[str, Any] = {"mask": mask, "ignore_index": self.ignore_index}
        return ops.sigmoid_focal_loss(input, target, self.alpha, self.gamma, self.reduction, **settings)


class LovaszHingeLoss(Module):
    """The Lovász hinge of logits and masks, see :func:`neurenix.nn.functional.lovasz_hinge_loss`.

    Parameters
    ----------
    per_sample : bool
        A loss for each sample instead of one over the batch.
    ignore_index : number, optional
        Value of the target where an element does not count.
    reduction : {"mean", "sum", "none"}
    """

    def __init__(self, *, per_sample: bool = True, ignore_index: float | None = None, reduction: str = "mean") -> None:
        self.per_sample, self.ignore_index = per_sample, ignore_index
        self.reduction = reduction_of("LovaszHingeLoss", reduction, None, None)

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss of logits and targets of their shape."""
        settings: dict[str, Any] = {"mask": mask, "ignore_index": self.ignore_index, "reduction": self.reduction}
        return ops.lovasz_hinge_loss(input, target, per_sample=self.per_sample, **settings)


class LovaszSoftmaxLoss(Module):
    """The Lovász extension of the Jaccard loss, see :func:`neurenix.nn.functional.lovasz_softmax_loss`.

    Parameters
    ----------
    classes : {"present", "all"} or list of int
        The classes whose losses are averaged.
    activation : {"sigmoid", "softmax"}, optional
        For logits.
    per_sample : bool
    ignore_index : number, optional
    reduction : {"mean", "sum", "none"}
    """

    def __init__(
        self,
        classes: str | Sequence[int] = "present",
        *,
        activation: str | None = None,
        per_sample: bool = False,
        ignore_index: float | None = None,
        reduction: str = "mean",
    ) -> None:
        check_activation("LovaszSoftmaxLoss", activation)
        self.classes = classes if isinstance(classes, str) else list(classes)
        self.activation, self.per_sample, self.ignore_index = activation, per_sample, ignore_index
        self.reduction = reduction_of("LovaszSoftmaxLoss", reduction, None, None)

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss of predictions (N, C, ...) and class numbers (N, ...), or targets of the predictions' shape."""
        settings: dict[str, Any] = {"activation": self.activation, "per_sample": self.per_sample, "reduction": self.reduction}
        return ops.lovasz_softmax_loss(input, target, classes=self.classes, mask=mask, ignore_index=self.ignore_index, **settings)


class BoundaryLoss(Module):
    """The boundary loss, see :func:`neurenix.nn.functional.boundary_loss`.

    Parameters
    ----------
    spacing : float or sequence of float, optional
        Distance between neighbours along each axis.
    weight : Tensor, shape (C,), optional
        A weight a channel.
    activation : {"sigmoid", "softmax"}, optional
        For logits.
    ignore_index : number, optional
    reduction : {"mean", "sum", "none"}
    """

    weight: Buffer | None

    def __init__(
        self,
        *,
        spacing: Any = None,
        weight: Any = None,
        activation: str | None = None,
        ignore_index: float | None = None,
        reduction: str = "mean",
    ) -> None:
        check_activation("BoundaryLoss", activation)
        self.spacing, self.activation, self.ignore_index = spacing, activation, ignore_index
        self.weight = None if weight is None else Buffer(weight)
        self.reduction = reduction_of("BoundaryLoss", reduction, None, None)

    def forward(self, input: Any, target: Any, mask: Any = None, distance: Any = None) -> Tensor:
        """The loss of predictions (N, C, ...) and targets; ``distance`` where it was computed beforehand."""
        settings: dict[str, Any] = {"activation": self.activation, "mask": mask, "ignore_index": self.ignore_index}
        settings |= {"weight": self.weight, "spacing": self.spacing, "reduction": self.reduction}
        return ops.boundary_loss(input, target, distance=distance, **settings)


class SSIMLoss(Module):
    """One minus :func:`neurenix.nn.functional.ssim`, whose keywords it takes.

    Parameters
    ----------
    data_range : float
        The largest possible value less the smallest.
    window_size, sigma
        Of the Gaussian window.
    reduction : {"mean", "sum", "none"}
    """

    def __init__(self, data_range: float = 1.0, *, window_size: int = 11, sigma: float = 1.5, reduction: str = "mean") -> None:
        self.data_range, self.window_size, self.sigma = data_range, window_size, sigma
        self.reduction = reduction_of(type(self).__name__, reduction, None, None)

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss of two images (N, C, ...)."""
        settings: dict[str, Any] = {"window_size": self.window_size, "sigma": self.sigma, "reduction": "none"}
        return reduced_as(1.0 - ops.ssim(input, target, self.data_range, **settings), self.reduction)

    def extra_repr(self) -> str:
        """Settings."""
        return f"data_range={self.data_range}, window_size={self.window_size}, sigma={self.sigma}"


class MSSSIMLoss(SSIMLoss):
    """One minus :func:`neurenix.nn.functional.ms_ssim`, whose keywords it takes.

    Parameters
    ----------
    data_range : float
        The largest possible value less the smallest.
    weights : sequence of float
        Exponents of the scales, finest first.
    window_size, sigma
        Of the Gaussian window.
    reduction : {"mean", "sum", "none"}
    """

    def __init__(
        self,
        data_range: float = 1.0,
        *,
        weights: Sequence[float] = MS_WEIGHTS,
        window_size: int = 11,
        sigma: float = 1.5,
        reduction: str = "mean",
    ) -> None:
        super().__init__(data_range, window_size=window_size, sigma=sigma, reduction=reduction)
        self.weights = [float(w) for w in weights]

    def forward(self, input: Any, target: Any) -> Tensor:
        """The loss of two images (N, C, ...)."""
        settings: dict[str, Any] = {"window_size": self.window_size, "sigma": self.sigma, "reduction": "none"}
        return reduced_as(1.0 - ops.ms_ssim(input, target, self.data_range, weights=self.weights, **settings), self.reduction)
