"""Losses of overlap as layers."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix.nn.module import Module
from neurenix.nn.parameter import Buffer
from neurenix.ops._arguments import choice
from neurenix.ops._overlap import check_activation
from neurenix.ops._reduction import reduction_of
from neurenix.ops.overlap_loss import WEIGHTINGS
from neurenix.tensor import Tensor


class _OverlapLoss(Module):
    """What losses of overlap share: how channels are weighted, what is left out, and how losses are reduced."""

    weight: Buffer | None

    def __init__(
        self,
        smooth: float,
        weight: Any,
        activation: str | None,
        ignore_index: float | None,
        per_sample: bool,
        reduction: str,
    ) -> None:
        check_activation(type(self).__name__, activation)
        self.smooth, self.activation, self.ignore_index, self.per_sample = smooth, activation, ignore_index, per_sample
        self.weight = None if weight is None else Buffer(weight)
        self.reduction = reduction_of(type(self).__name__, reduction, None, None)

    def _settings(self, mask: Any) -> dict[str, Any]:
        return {
            "smooth": self.smooth,
            "weight": self.weight,
            "activation": self.activation,
            "mask": mask,
            "ignore_index": self.ignore_index,
            "per_sample": self.per_sample,
            "reduction": self.reduction,
        }

    def extra_repr(self) -> str:
        """Settings."""
        return f"smooth={self.smooth}, activation={self.activation!r}, reduction={self.reduction!r}"


class DiceLoss(_OverlapLoss):
    """One minus Dice's coefficient ``2 |P T| / (|P| + |T|)``, see :func:`neurenix.nn.functional.dice_loss`.

    Parameters
    ----------
    smooth : float
        Keeps empty channels finite.
    weight : Tensor, shape (C,), optional
        A weight a channel.
    activation : {"sigmoid", "softmax"}, optional
        For logits.
    ignore_index : number, optional
        Class number, or value of the target, that does not count.
    per_sample : bool
        A coefficient for each sample instead of one over the batch.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ShapeError
        In the call, if target or mask do not fit the prediction (N, C, ...).
    ArgumentError
        For an unknown activation or reduction.

    References
    ----------
    .. [1] F. Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical image segmentation", 3DV 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> target = nx.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])  # (N, 1, H, W): a mask of two pixels
    >>> everywhere = nx.ones(1, 1, 2, 2)
    >>> round(nx.nn.DiceLoss(smooth=0.0)(everywhere, target).item(), 4)  # 1 - 2 * 2 / (4 + 2)
    0.3333
    >>> round(nx.nn.DiceLoss(smooth=0.0, activation="sigmoid")(40 * target - 20, target).item(), 4)  # logits
    0.0
    """

    def __init__(
        self,
        smooth: float = 1.0,
        *,
        weight: Any = None,
        activation: str | None = None,
        ignore_index: float | None = None,
        per_sample: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(smooth, weight, activation, ignore_index, per_sample, reduction)

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss of predictions (N, C, ...) and targets of their shape, or class numbers (N, ...)."""
        return ops.dice_loss(input, target, **self._settings(mask))


class JaccardLoss(_OverlapLoss):
    """One minus the soft Jaccard index, see :func:`neurenix.nn.functional.jaccard_loss`; settings as :class:`DiceLoss`.

    Examples
    --------
    >>> import neurenix as nx
    >>> target, everywhere = nx.tensor([[[[0.0, 1.0], [1.0, 0.0]]]]), nx.ones(1, 1, 2, 2)
    >>> nx.nn.JaccardLoss(smooth=0.0)(everywhere, target).item()  # intersection 2, union 4
    0.5
    """

    def __init__(
        self,
        smooth: float = 1.0,
        *,
        weight: Any = None,
        activation: str | None = None,
        ignore_index: float | None = None,
        per_sample: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(smooth, weight, activation, ignore_index, per_sample, reduction)

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss of predictions (N, C, ...) and targets of their shape, or class numbers (N, ...)."""
        return ops.jaccard_loss(input, target, **self._settings(mask))


class TverskyLoss(_OverlapLoss):
    """One minus Tversky's index ``TP / (TP + alpha FP + beta FN)``, see :func:`neurenix.nn.functional.tversky_loss`.

    Parameters
    ----------
    alpha, beta : float
        Weights of false positives and of false negatives.
    smooth, weight, activation, ignore_index, per_sample, reduction
        As for :class:`DiceLoss`.

    References
    ----------
    .. [1] S. Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep networks", MLMI 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> target = nx.tensor([[[[0.0, 1.0, 1.0, 0.0]]]])
    >>> too_much, too_little = nx.tensor([[[[1.0, 1.0, 1.0, 0.0]]]]), nx.tensor([[[[0.0, 1.0, 0.0, 0.0]]]])
    >>> loss = nx.nn.TverskyLoss(alpha=0.25, beta=0.75, smooth=0.0)
    >>> [round(loss(p, target).item(), 4) for p in (too_much, too_little)]  # a missed pixel costs more than one too many
    [0.1111, 0.4286]
    """

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        smooth: float = 1.0,
        *,
        weight: Any = None,
        activation: str | None = None,
        ignore_index: float | None = None,
        per_sample: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(smooth, weight, activation, ignore_index, per_sample, reduction)
        self.alpha, self.beta = alpha, beta

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss of predictions (N, C, ...) and targets of their shape, or class numbers (N, ...)."""
        return ops.tversky_loss(input, target, self.alpha, self.beta, **self._settings(mask))


class FocalTverskyLoss(_OverlapLoss):
    """A power of the Tversky loss, ``TverskyLoss ** (1 / gamma)``, see :func:`neurenix.nn.functional.focal_tversky_loss`.

    Parameters
    ----------
    alpha, beta : float
        Weights of false positives and of false negatives.
    gamma : float
        The loss is raised to ``1 / gamma``.
    smooth, weight, activation, ignore_index, per_sample, reduction
        As for :class:`DiceLoss`.

    References
    ----------
    .. [1] N. Abraham and N. Khan, "A novel focal Tversky loss function with improved attention U-Net for lesion segmentation", ISBI 2019.

    Examples
    --------
    >>> import neurenix as nx
    >>> prediction, target = nx.full((1, 1, 2, 2), 0.5), nx.ones(1, 1, 2, 2)
    >>> settings = {"alpha": 0.5, "beta": 0.5, "smooth": 0.0}
    >>> plain, focal = nx.nn.TverskyLoss(**settings), nx.nn.FocalTverskyLoss(gamma=2.0, **settings)
    >>> round(plain(prediction, target).item(), 4), round(focal(prediction, target).item(), 4)  # 1 / 3 and its square root
    (0.3333, 0.5774)
    """

    def __init__(
        self,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 4 / 3,
        smooth: float = 1.0,
        *,
        weight: Any = None,
        activation: str | None = None,
        ignore_index: float | None = None,
        per_sample: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(smooth, weight, activation, ignore_index, per_sample, reduction)
        self.alpha, self.beta, self.gamma = alpha, beta, gamma

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss of predictions (N, C, ...) and targets of their shape, or class numbers (N, ...)."""
        return ops.focal_tversky_loss(input, target, self.alpha, self.beta, self.gamma, **self._settings(mask))


class GeneralizedDiceLoss(_OverlapLoss):
    """One minus the generalised Dice coefficient, see :func:`neurenix.nn.functional.generalized_dice_loss`.

    Parameters
    ----------
    smooth : float
    weighting : {"square", "simple", "uniform"}
        How much rare channels weigh.
    activation, ignore_index, per_sample, reduction
        As for :class:`DiceLoss`.

    References
    ----------
    .. [1] C. Sudre et al., "Generalised Dice overlap as a deep learning loss function for highly unbalanced segmentations", DLMIA 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> target = nx.tensor([[[[0, 0, 0, 0, 0, 0, 0, 1]]]]).reshape(1, 8)  # class numbers (N, L): one pixel in eight is of class 1
    >>> everything_0 = nx.tensor([[[1.0] * 8, [0.0] * 8]])  # (N, C, L)
    >>> [round(nx.nn.GeneralizedDiceLoss(weighting=w)(everything_0, target).item(), 4) for w in ("uniform", "simple", "square")]
    [0.125, 0.3636, 0.7812]
    """

    def __init__(
        self,
        smooth: float = 0.0,
        *,
        weighting: str = "square",
        activation: str | None = None,
        ignore_index: float | None = None,
        per_sample: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(smooth, None, activation, ignore_index, per_sample, reduction)
        self.weighting = choice("GeneralizedDiceLoss", "weighting", weighting, WEIGHTINGS)

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss of predictions (N, C, ...) and targets of their shape, or class numbers (N, ...)."""
        settings = self._settings(mask)
        del settings["weight"]
        return ops.generalized_dice_loss(input, target, weighting=self.weighting, **settings)

    def extra_repr(self) -> str:
        """Settings."""
        return f"weighting={self.weighting!r}, activation={self.activation!r}"


class SoftClDiceLoss(_OverlapLoss):
    """The loss of centre lines for vessels, roads and membranes, see :func:`neurenix.nn.functional.soft_cldice_loss`.

    Parameters
    ----------
    iterations : int
        At least the largest radius of the objects, in pixels.
    smooth, weight, activation, ignore_index, per_sample, reduction
        As for :class:`DiceLoss`.

    References
    ----------
    .. [1] S. Shit et al., "clDice: a novel topology-preserving loss function for tubular structure segmentation", CVPR 2021.

    Examples
    --------
    >>> import numpy as np, neurenix as nx
    >>> line = np.zeros((1, 1, 7, 9), np.float32)
    >>> line[..., 3, :] = 1
    >>> thick, broken = line.copy(), line.copy()
    >>> thick[..., 2:5, :], broken[..., 4] = 1, 0
    >>> loss = nx.nn.SoftClDiceLoss(iterations=3)
    >>> [round(loss(nx.tensor(p), nx.tensor(line)).item(), 4) for p in (line, thick, broken)]  # the width costs little, a gap more
    [0.0, 0.0, 0.0526]
    """

    def __init__(
        self,
        iterations: int = 10,
        smooth: float = 1.0,
        *,
        weight: Any = None,
        activation: str | None = None,
        ignore_index: float | None = None,
        per_sample: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(smooth, weight, activation, ignore_index, per_sample, reduction)
        self.iterations = iterations

    def forward(self, input: Any, target: Any, mask: Any = None) -> Tensor:
        """The loss of predictions (N, C, ...) and targets of their shape, or class numbers (N, ...)."""
        return ops.soft_cldice_loss(input, target, self.iterations, **self._settings(mask))
