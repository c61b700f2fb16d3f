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
    """One minus Dice's coefficient, see :func:`neurenix.nn.functional.dice_loss`.

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
    """One minus the soft Jaccard index, see :func:`neurenix.nn.functional.jaccard_loss`; settings as :class:`DiceLoss`."""

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
    """One minus Tversky's index, see :func:`neurenix.nn.functional.tversky_loss`.

    Parameters
    ----------
    alpha, beta : float
        Weights of false positives and of false negatives.
    smooth, weight, activation, ignore_index, per_sample, reduction
        As for :class:`DiceLoss`.
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
    """A power of the Tversky loss, see :func:`neurenix.nn.functional.focal_tversky_loss`.

    Parameters
    ----------
    alpha, beta : float
        Weights of false positives and of false negatives.
    gamma : float
        The loss is raised to ``1 / gamma``.
    smooth, weight, activation, ignore_index, per_sample, reduction
        As for :class:`DiceLoss`.
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
    """The loss of centre lines, see :func:`neurenix.nn.functional.soft_cldice_loss`.

    Parameters
    ----------
    iterations : int
        At least the largest radius of the objects, in pixels.
    smooth, weight, activation, ignore_index, per_sample, reduction
        As for :class:`DiceLoss`.
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
