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

    Raises
    ------
    ArgumentError
        If ``gamma`` is negative; in the call, if the target is not class numbers.

    References
    ----------
    .. [1] T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> logits, target = nx.tensor([[[0.0, 3.0], [0.0, -3.0]]]), nx.tensor([[0, 0]])  # (N, C, L): a hard and an easy pixel
    >>> nx.nn.FocalLoss(gamma=0.0, reduction="none")(logits, target).numpy().round(4)  # cross entropy
    array([[0.6931, 0.0025]], dtype=float32)
    >>> nx.nn.FocalLoss(gamma=2.0, reduction="none")(logits, target).numpy().round(4)  # the easy pixel counts next to nothing
    array([[0.1733, 0.    ]], dtype=float32)
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

    References
    ----------
    .. [1] T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> logits, target = nx.tensor([[[[0.0, 3.0]]]]), nx.tensor([[[[1.0, 1.0]]]])  # (N, 1, H, W): a hard and an easy pixel
    >>> nx.nn.BCEWithLogitsLoss(reduction="none")(logits, target).numpy().round(4)
    array([[[[0.6931, 0.0486]]]], dtype=float32)
    >>> nx.nn.SigmoidFocalLoss(alpha=-1, reduction="none")(logits, target).numpy().round(4)  # the easy pixel counts next to nothing
    array([[[[1.733e-01, 1.000e-04]]]], dtype=float32)
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

    References
    ----------
    .. [1] M. Berman et al., "The Lovász-Softmax loss: a tractable surrogate for the optimization of the intersection-over-union measure in
       neural networks", CVPR 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> target = nx.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    >>> loss = nx.nn.LovaszHingeLoss()
    >>> loss(nx.tensor([[[[2.0, 2.0, -2.0, -2.0]]]]), target).item()  # right, and further from 0 than the margin of 1
    0.0
    >>> loss(nx.tensor([[[[2.0, -1.0, -2.0, -2.0]]]]), target).item()  # the missed pixel's hinge is 2, its share of the IoU 1 / 2
    1.0
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

    References
    ----------
    .. [1] M. Berman et al., "The Lovász-Softmax loss: a tractable surrogate for the optimization of the intersection-over-union measure in
       neural networks", CVPR 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([[[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]])  # (N, C, L), hard decisions
    >>> nx.nn.LovaszSoftmaxLoss()(p, nx.tensor([[0, 0, 1, 1]])).item()
    0.0
    >>> round(nx.nn.LovaszSoftmaxLoss()(p, nx.tensor([[0, 1, 1, 1]])).item(), 4)  # one minus the IoUs' mean, of 1 / 2 and 2 / 3
    0.4167
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

    References
    ----------
    .. [1] H. Kervadec et al., "Boundary loss for highly unbalanced segmentation", MIDL 2019.

    Examples
    --------
    >>> import neurenix as nx
    >>> target = nx.tensor([[[0.0, 0.0, 1.0, 1.0, 1.0, 0.0]]])  # (N, C, L)
    >>> near, far = nx.tensor([[[0.0, 1.0, 1.0, 1.0, 1.0, 0.0]]]), nx.tensor([[[1.0, 0.0, 1.0, 1.0, 1.0, 0.0]]])
    >>> [round(nx.nn.BoundaryLoss()(p, target).item(), 4) for p in (target, near, far)]  # a stray pixel costs its distance
    [-0.1667, 0.0, 0.1667]
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
    """One minus :func:`neurenix.nn.functional.ssim` of two images (N, C, ...), whose keywords it takes.

    Parameters
    ----------
    data_range : float
        The largest possible value less the smallest.
    window_size, sigma
        Of the Gaussian window.
    reduction : {"mean", "sum", "none"}

    References
    ----------
    .. [1] Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE Trans. Image Processing 13, 2004.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.linspace(0, 1, 256).reshape(1, 1, 16, 16)
    >>> loss = nx.nn.SSIMLoss(data_range=1.0)
    >>> round(abs(loss(x, x).item()), 4), round(loss(x, 1 - x).item(), 2)  # the same, and its negative
    (0.0, 1.83)
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
    """One minus :func:`neurenix.nn.functional.ms_ssim` of two images (N, C, ...), whose keywords it takes.

    With 5 scales and windows of 11, images need 176 pixels along each axis; fewer ``weights`` need less.

    Parameters
    ----------
    data_range : float
        The largest possible value less the smallest.
    weights : sequence of float
        Exponents of the scales, finest first.
    window_size, sigma
        Of the Gaussian window.
    reduction : {"mean", "sum", "none"}

    References
    ----------
    .. [1] Z. Wang et al., "Multiscale structural similarity for image quality assessment", Asilomar Conference 2003.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.linspace(0, 1, 48 * 48).reshape(1, 1, 48, 48)
    >>> loss = nx.nn.MSSSIMLoss(weights=(0.5, 0.3, 0.2))  # three scales: 44 pixels are enough
    >>> round(abs(loss(x, x).item()), 4), loss(x, 0.5 * x).item() > 0.1
    (0.0, True)
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
