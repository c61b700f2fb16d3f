"""Losses of losses: weighted sums, and the same loss at every level of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix import ops
from neurenix.errors import ArgumentError, DTypeError
from neurenix.nn.containers import ModuleList
from neurenix.nn.module import Module
from neurenix.ops._arguments import choice
from neurenix.tensor import Tensor, as_tensor


def _weights(op: str, weights: Any, count: int | None) -> list[float] | None:
    """A list of finite numbers of at least 0, as many as ``count`` says."""
    if weights is None:
        return None
    given = list(weights) if isinstance(weights, Sequence) and not isinstance(weights, str) else None
    fine = given and all(isinstance(w, (int, float)) and not isinstance(w, bool) and 0 <= w < float("inf") for w in given)
    if not fine or (count is not None and given is not None and len(given) != count):
        many = "numbers" if count is None else f"{count} numbers"
        raise ArgumentError(f"{op}: expected weights as {many} of at least 0, got {weights!r}; pass e.g. [1.0, 0.5]")
    assert given is not None
    return [float(w) for w in given]


class CombinedLoss(Module):
    """A weighted sum of losses of the same prediction and target.

    Parameters
    ----------
    *losses : Module
        Each is called with what the sum is called with.
    weights : sequence of float, optional
        One a loss; 1 by default.

    Raises
    ------
    ArgumentError
        If there are no losses, or not as many weights.

    Notes
    -----
    Losses of overlap take logits where they are told so: ``CombinedLoss(BCEWithLogitsLoss(), DiceLoss(activation="sigmoid"))``. After a
    call, ``values`` holds the single losses before weighting, detached, for a log.

    Examples
    --------
    >>> import neurenix as nx
    >>> loss = nx.nn.CombinedLoss(nx.nn.L1Loss(), nx.nn.MSELoss(), weights=[1.0, 0.5])
    >>> loss(nx.tensor([3.0]), nx.tensor([1.0])).item()
    4.0
    >>> [value.item() for value in loss.values]
    [2.0, 4.0]
    """

    values: list[Tensor]

    def __init__(self, *losses: Module, weights: Sequence[float] | None = None) -> None:
        if not losses or not all(isinstance(loss, Module) for loss in losses):
            raise ArgumentError(f"CombinedLoss: expected losses, got {losses!r}; pass e.g. nn.BCELoss(), nn.DiceLoss()")
        self.losses = ModuleList(losses)
        self.weights = _weights("CombinedLoss", weights, len(losses)) or [1.0] * len(losses)
        self.values = []

    def forward(self, input: Any, target: Any, **more: Any) -> Tensor:
        """The sum; keywords such as ``mask`` go to every loss."""
        single = [loss(input, target, **more) for loss in self.losses]
        self.values = [loss.detach() for loss in single]
        total: Tensor = single[0] * self.weights[0]
        for loss, weight in zip(single[1:], self.weights[1:], strict=True):
            total = total + loss * weight
        return total

    def extra_repr(self) -> str:
        """The weights."""
        return f"weights={self.weights}"


class DeepSupervisionLoss(Module):
    """A loss over a model's levels: ``sum of weights[i] * loss(outputs[i], target)``, the finest output first.

    Parameters
    ----------
    loss : Module
        Called with each output and the target of its size.
    weights : sequence of float, optional
        One a level; ``1 / 2**i`` by default.
    resize : {"target", "output"}
        Bring the target to each output's size, or each output, bilinearly, to the target's.
    mode : {"nearest", "max"}
        How a target is resized: the label at the middle of each pixel, or the largest within it, which keeps thin objects.
    normalize : bool
        Divide the weights by their sum.

    Raises
    ------
    ArgumentError
        If a weight is no number of at least 0, ``resize`` or ``mode`` is none of these, or there are fewer weights than outputs.

    Notes
    -----
    A single tensor, as a model gives it without deep supervision, is taken as one level. ``mask`` and ``pixel_weight`` in the call are
    resized as well, by "nearest". Where the loss has an ``ignore_index``, ignored pixels hide under no others in mode "max".

    References
    ----------
    .. [1] C.-Y. Lee et al., "Deeply-supervised nets", AISTATS 2015.
    .. [2] F. Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation", Nature Methods 18, 2021.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.multiscale.UNet(1, 1, features=[4, 8], final_activation=None, deep_supervision=True)
    >>> outputs = model(nx.zeros(1, 1, 16, 16))
    >>> loss = nx.nn.DeepSupervisionLoss(nx.nn.BCEWithLogitsLoss(), weights=[1.0, 0.5])
    >>> single = [loss.loss(y, nx.ones(1, 1, 16, 16)).item() for y in outputs]
    >>> abs(loss(outputs, nx.ones(1, 1, 16, 16)).item() - (single[0] + 0.5 * single[1])) < 1e-5
    True
    """

    def __init__(
        self,
        loss: Module,
        weights: Sequence[float] | None = None,
        *,
        resize: str = "target",
        mode: str = "nearest",
        normalize: bool = False,
    ) -> None:
        op = "DeepSupervisionLoss"
        if not isinstance(loss, Module):
            raise ArgumentError(f"{op}: expected a loss, got {loss!r}; pass e.g. nn.BCEWithLogitsLoss()")
        self.loss, self.weights = loss, _weights(op, weights, None)
        self.resize, self.mode = choice(op, "resize", resize, ("target", "output")), choice(op, "mode", mode, ("nearest", "max"))
        self.normalize = bool(normalize)

    def forward(self, input: Any, target: Any, **maps: Any) -> Tensor:
        """The loss of a list of outputs (N, C, ...) and one target; keywords are maps of the target's size, or ``None``."""
        outputs = list(input) if isinstance(input, (list, tuple)) else [input]
        weights = self.weights or [0.5**i for i in range(len(outputs))]
        if not outputs or len(weights) < len(outputs):
            raise ArgumentError(f"DeepSupervisionLoss: expected 1 to {len(weights)} outputs, got {len(outputs)}; give a weight a level")
        divisor = sum(weights[: len(outputs)]) if self.normalize else 1.0
        total: Tensor | None = None
        for output, weight in zip(outputs, weights, strict=False):
            if weight:
                level = self._level(output, target, maps) * (weight / divisor)
                total = level if total is None else total + level
        if total is None:
            raise ArgumentError("DeepSupervisionLoss: expected a weight above 0, got none; leave out the levels that do not count")
        return total

    def _level(self, output: Any, target: Any, maps: dict[str, Any]) -> Tensor:
        if not isinstance(output, Tensor):
            raise DTypeError(f"DeepSupervisionLoss: expected tensors, got {type(output).__name__}; pass the model's list of outputs")
        size = output.shape[2:]
        if self.resize == "output":
            size = as_tensor(target).shape[-len(size) :]
            value: Tensor = self.loss(_resized(output, size), target, **maps)
            return value
        ignore = getattr(self.loss, "ignore_index", None)
        at_level = ops.resize_labels(target, size, self.mode, ignore_index=ignore)
        kept = {name: None if value is None else ops.resize_labels(value, size) for name, value in maps.items()}
        found: Tensor = self.loss(output, at_level, **kept)
        return found

    def extra_repr(self) -> str:
        """Settings."""
        return f"weights={self.weights}, resize={self.resize!r}, mode={self.mode!r}"


def _resized(output: Tensor, size: tuple[int, ...]) -> Tensor:
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    return output if output.shape[2:] == tuple(size) else ops.interpolate(output, size=size, mode=mode)
