"""One model at several scales."""

from __future__ import annotations

from typing import Any

from neurenix import nn, ops
from neurenix.checkpoint import is_checkpointing, segment
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.multiscale import _checks
from neurenix.multiscale._blocks import activate, check_activation
from neurenix.multiscale.fusion import METHODS, added, check_weights, resized, weighted
from neurenix.nn import functional
from neurenix.nn.module import Arguments, Module
from neurenix.tensor import Tensor


class MultiScaleModel(Module):
    """Run one model on an image at several scales and fuse what it gives.

    Parameters
    ----------
    scales : list of float
        Different finite numbers above 0. The image is resized bilinearly to ``max(1, floor(size * scale))``.
    base_model : Module, optional
        Applied at every scale, with the same weights; ``None`` takes the images themselves. It returns (N, C, H, W), or
        (N, F).
    fusion_method : {"concat", "sum", "attention"}
        How the results, resized bilinearly to the size of the largest scale's, become one: all channels, in the order of
        ``scales``; their sum; or a sum with weights that depend on the place: a softmax over the scales of scores that one
        3x3 convolution gives of each result's mean and maximum over channels.
    final_activation : {"sigmoid", "softmax"} or None
        What is done to the fused result.
    antialias : bool
        Stretch the filter when an image is shrunk.

    Raises
    ------
    ArgumentError
        If a scale is not such a number or occurs twice, or a choice is none of these.
    DTypeError
        If ``base_model`` is not a module.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.multiscale.MultiScaleModel(scales=[1.0, 0.5], base_model=None)
    >>> model(nx.Tensor(shape=(1, 3, 8, 8))).shape
    (1, 6, 8, 8)
    >>> model = nx.multiscale.MultiScaleModel(scales=[1.0, 0.5], fusion_method="attention")
    >>> fused, weights = model(nx.Tensor(shape=(1, 3, 8, 8)), return_weights=True)
    >>> fused.shape, weights.shape
    ((1, 3, 8, 8), (1, 2, 8, 8))
    """

    _makes_segments = True

    def __init__(
        self,
        scales: list[float] = [1.0, 0.5, 0.25],  # noqa: B006 - the API document's default; copied
        base_model: Module | None = None,
        fusion_method: str = "concat",
        *,
        final_activation: str | None = None,
        antialias: bool = False,
    ) -> None:
        op = "MultiScaleModel"
        self.scales = _checks.scales(op, scales)
        if base_model is not None and not isinstance(base_model, Module):
            raise DTypeError(
                f"{op}: expected base_model as a module or None, got {type(base_model).__name__}; pass e.g. nn.Sequential(...)"
            )
        self.base_model = base_model
        self.fusion_method = _checks.choice(op, "fusion_method", fusion_method, METHODS)
        self.final_activation = check_activation(op, final_activation)
        self.antialias = _checks.flag(op, "antialias", antialias)
        if fusion_method == "attention":
            self.score = nn.Conv2d(2, 1, kernel_size=3, padding=1, bias=False)

    def constructor_arguments(self) -> Arguments:
        """The scales as they are now."""
        if type(self).__init__ is not MultiScaleModel.__init__:
            return self._arguments
        options = {"final_activation": self.final_activation, "antialias": self.antialias}
        return (list(self.scales), self.base_model, self.fusion_method), options

    def add_scale(self, scale: float) -> None:
        """Add a scale at the end.

        Raises
        ------
        ArgumentError
            If it is not a finite number above 0, or there already.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.multiscale.MultiScaleModel([1.0, 0.5])
        >>> model.add_scale(0.25)
        >>> model.scales, model(nx.zeros(1, 3, 8, 8)).shape
        ([1.0, 0.5, 0.25], (1, 9, 8, 8))
        """
        value = _checks.scale("add_scale", "scale", scale)
        if _checks.position(self.scales, value) is not None:
            raise ArgumentError(f"add_scale: expected a new scale, got {scale}, which is among {self.scales}; leave it out")
        self.scales = [*self.scales, value]

    def remove_scale(self, scale: float) -> None:
        """Take a scale away.

        Raises
        ------
        ArgumentError
            If it is not there, or the last one.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.multiscale.MultiScaleModel([1.0, 0.5, 0.25])
        >>> model.remove_scale(0.5)
        >>> model.scales
        [1.0, 0.25]
        """
        place = _checks.position(self.scales, _checks.scale("remove_scale", "scale", scale))
        if place is None:
            raise ArgumentError(f"remove_scale: expected one of {self.scales}, got {scale}; see model.scales")
        if len(self.scales) == 1:
            raise ArgumentError(f"remove_scale: expected to keep a scale, got the last one, {scale}; add another first")
        self.scales = self.scales[:place] + self.scales[place + 1 :]

    def forward(self, x: Tensor, *, return_weights: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Give the fused result of (N, C, H, W) at all scales.

        With ``return_weights``, for "attention" only, also each scale's share at every pixel, (N, scales, H, W): which scale
        decides where. They sum to 1 over the scales; for results (N, F) they are (N, scales, 1, 1).

        Raises
        ------
        ArgumentError
            If weights are asked of another fusion method.
        """
        with_weights = check_weights("MultiScaleModel", return_weights, self.fusion_method)
        x = _checks.float_map("MultiScaleModel", x)
        whole = is_checkpointing() and not (self.base_model is not None and self.base_model._has_segments())
        outs = [segment(self._at, x, s) if whole else self._at(x, s) for s in self.scales]
        kinds = {(o.ndim, o.shape[:2]) for o in outs}
        if len(kinds) > 1:
            raise ShapeError(
                f"MultiScaleModel: expected results of one kind at every scale, got {[o.shape for o in outs]}; let base_model give (N, C, H, W)"
            )
        fused, weights = self._attend(self._aligned(outs)) if self.fusion_method == "attention" else (self._fuse(outs), None)
        out = activate(fused, self.final_activation)
        return (out, weights) if with_weights and weights is not None else out

    def _at(self, x: Tensor, scale: float) -> Tensor:
        size = _checks.scaled(x.shape[2], scale), _checks.scaled(x.shape[3], scale)
        if size != x.shape[2:]:
            x = functional.interpolate(x, size=size, mode="bilinear", antialias=self.antialias)
        out: Any = x if self.base_model is None else self.base_model(x)
        if not isinstance(out, Tensor) or out.ndim not in (2, 4):
            got = f"shape {out.shape}" if isinstance(out, Tensor) else type(out).__name__
            raise ShapeError(
                f"MultiScaleModel: expected base_model to give (N, C, H, W) or (N, F), got {got}; wrap it in a module that does"
            )
        return out

    def _aligned(self, outs: list[Tensor]) -> list[Tensor]:
        """Maps at the size of the largest scale's; vectors as they are."""
        if len(outs) == 1 or outs[0].ndim == 2:
            return outs
        height, width = outs[max(range(len(outs)), key=self.scales.__getitem__)].shape[2:]
        return [resized(o, (height, width)) for o in outs]

    def _fuse(self, outs: list[Tensor]) -> Tensor:
        outs = self._aligned(outs)
        if len(outs) == 1:
            return outs[0]
        return ops.cat(outs, dim=1) if self.fusion_method == "concat" else added(outs)

    def _attend(self, outs: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Weights by the place; for vectors, which have none, by the image."""
        maps = [o if o.ndim == 4 else o[:, :, None, None] for o in outs]
        if len(maps) == 1:
            return outs[0], ops.ones_like(maps[0][:, :1])
        scores = [self.score(ops.cat([ops.mean(m, 1, keepdim=True), ops.amax(m, 1, keepdim=True)], dim=1)) for m in maps]
        fused, weights = weighted(maps, scores)
        return fused if outs[0].ndim == 4 else fused[:, :, 0, 0], weights
