"""How far the surfaces of masks are apart."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from neurenix.errors import ArgumentError, ShapeError
from neurenix.metrics._elements import elements
from neurenix.metrics._inputs import Mask, as_mask, check_classes, chosen, host, kept_pixels, number, same_shape
from neurenix.metrics._metric import Metric, mean
from neurenix.metrics.confusion import classes_of
from neurenix.ops.regions import spacing_of, squared_distance

Spacing = tuple[float, ...]
Measure = Callable[[Mask, Mask, Spacing], float]


def surface(mask: Mask) -> Mask:
    """The pixels of a mask of which a neighbour along an axis is outside; beyond the image everything is."""
    inside = np.pad(mask, 1)
    core = mask.copy()
    for axis in range(mask.ndim):
        for shift in (-1, 1):
            core &= np.roll(inside, shift, axis)[(slice(1, -1),) * mask.ndim]
    return mask & ~core


def _distances(p: Mask, t: Mask, spacing: Spacing) -> tuple[Mask, Mask]:
    """Of each surface's pixels to the other surface."""
    return np.sqrt(squared_distance(~t, spacing)[p]), np.sqrt(squared_distance(~p, spacing)[t])


def _diagonal(shape: tuple[int, ...], spacing: Spacing) -> float:
    return math.sqrt(math.fsum((n * s) ** 2 for n, s in zip(shape, spacing, strict=True)))


def _measured(
    op: str,
    prediction: Any,
    target: Any,
    spacing: Any,
    mask: Any,
    ignore: float | None,
    measure: Measure,
    missed: float | None,
    same: float,
) -> float:
    """A measure of distances; ``same`` where both masks are empty, ``missed`` (the diagonal if None) where one is."""
    p, t = host(prediction, op), host(target, op)
    same_shape(op, p, t)
    steps = spacing_of(op, spacing, p.ndim)
    kept = kept_pixels(op, t, mask, ignore)
    p, t = as_mask(p), as_mask(t)
    if kept is not None:
        p, t = p & kept, t & kept
    if p.any() and t.any():
        return measure(p, t, steps)
    if not p.any() and not t.any():
        return same
    return _diagonal(p.shape, steps) if missed is None else missed


def _percentile(op: str, percentile: float) -> float:
    if isinstance(percentile, bool) or not isinstance(percentile, int | float) or not 0 < percentile <= 100:
        raise ArgumentError(f"{op}: expected percentile above 0, up to 100, got {percentile!r}; pass e.g. 95")
    return float(percentile)


def hausdorff_distance(
    prediction: Any, target: Any, *, spacing: Any = None, percentile: float = 100, mask: Any = None, ignore_index: float | None = None
) -> float:
    """Hausdorff's distance of the surfaces of two masks: how far the worst of their pixels is from the other surface.

    Parameters
    ----------
    prediction, target : array or Tensor, one shape (H, W) or (D, H, W)
        Masks, taken as :func:`iou` takes them. (1, H, W) is a volume of one plane, all of which is surface: pass ``x[0]``.
    spacing : float or sequence of float, optional
        Distance between neighbours along each axis; 1 by default. The result is in its unit.
    percentile : float
        100 for the worst pixel; 95 for HD95, which a few stray pixels do not decide. The larger of both directions' percentiles.
    mask, ignore_index
        Pixels that do not count are background in both.

    Returns
    -------
    float
        0 where both masks are empty; the image's diagonal where one is: a missed object does not leave the average.

    References
    ----------
    .. [1] D. Huttenlocher et al., "Comparing images using the Hausdorff distance", IEEE Trans. PAMI 15, 1993.

    Examples
    --------
    >>> from neurenix.metrics import hausdorff_distance
    >>> hausdorff_distance([[1, 0, 0, 0]], [[0, 0, 0, 1]], spacing=(1.0, 0.5))
    1.5
    """
    level = _percentile("hausdorff_distance", percentile)

    def worst(p: Mask, t: Mask, steps: Spacing) -> float:
        return float(max(np.percentile(d, level) for d in _distances(surface(p), surface(t), steps)))

    return _measured("hausdorff_distance", prediction, target, spacing, mask, ignore_index, worst, None, 0.0)


def average_surface_distance(
    prediction: Any, target: Any, *, spacing: Any = None, symmetric: bool = True, mask: Any = None, ignore_index: float | None = None
) -> float:
    """The mean distance of the surfaces' pixels to the other surface.

    Parameters
    ----------
    prediction, target : array or Tensor, one shape (H, W) or (D, H, W)
        Masks, taken as :func:`iou` takes them.
    spacing, mask, ignore_index
        As for :func:`hausdorff_distance`.
    symmetric : bool
        Over the pixels of both surfaces; else over those of the prediction.

    Returns
    -------
    float
        In the unit of ``spacing``, else in pixels.

    Examples
    --------
    >>> from neurenix.metrics import average_surface_distance
    >>> average_surface_distance([[1, 0, 0]], [[1, 1, 0]])
    0.3333333333333333
    """

    def average(p: Mask, t: Mask, steps: Spacing) -> float:
        both = _distances(surface(p), surface(t), steps)
        return float(np.concatenate(both).mean() if symmetric else both[0].mean())

    return _measured("average_surface_distance", prediction, target, spacing, mask, ignore_index, average, None, 0.0)


def surface_dice(
    prediction: Any, target: Any, tolerance: float = 1.0, *, spacing: Any = None, mask: Any = None, ignore_index: float | None = None
) -> float:
    """The share of both surfaces that lies within ``tolerance`` of the other surface, by length in images and by area in volumes.

    Parameters
    ----------
    prediction, target : array or Tensor, one shape (H, W) or (D, H, W)
        Masks, taken as :func:`iou` takes them.
    tolerance : float
        In the unit of ``spacing``.
    spacing, mask, ignore_index
        As for :func:`hausdorff_distance`.

    Returns
    -------
    float
        1 where both masks are empty, 0 where one is.

    Raises
    ------
    ShapeError
        If shapes differ, or have neither two nor three axes.

    Notes
    -----
    The surface runs between the pixels, by marching squares or cubes; distances are between the cells it crosses. The numbers are those of
    ``surface_distance.compute_surface_dice_at_tolerance``.

    References
    ----------
    .. [1] S. Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck anatomy for radiotherapy",
       arXiv:1809.04430, 2018.
    .. [2] W. Lorensen, H. Cline, "Marching cubes: a high resolution 3D surface construction algorithm", SIGGRAPH 1987.

    Examples
    --------
    >>> from neurenix.metrics import surface_dice
    >>> surface_dice([[1, 0, 0, 0]], [[0, 0, 0, 1]], tolerance=3), surface_dice([[1, 0, 0, 0]], [[0, 0, 0, 1]], tolerance=2)
    (1.0, 0.5)
    """
    reach = _tolerance("surface_dice", tolerance)

    def share(p: Mask, t: Mask, steps: Spacing) -> float:
        sizes = elements(p, steps), elements(t, steps)
        found = [size[size > 0] for size in sizes]
        near = [size[d <= reach] for size, d in zip(found, _distances(sizes[0] > 0, sizes[1] > 0, steps), strict=True)]
        return float(sum(x.sum() for x in near) / sum(x.sum() for x in found))

    axes = np.ndim(prediction)
    if axes not in (2, 3):
        raise ShapeError(f"surface_dice: expected masks (H, W) or (D, H, W), got {axes} axes; pass images one by one, or use SurfaceDice")
    return _measured("surface_dice", prediction, target, spacing, mask, ignore_index, share, 0.0, 1.0)


def _tolerance(op: str, tolerance: float) -> float:
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise ArgumentError(f"{op}: expected tolerance of at least 0, got {tolerance!r}; pass e.g. 1.0")
    return float(tolerance)


class _SurfaceMetric(Metric):
    """A measure of surfaces, averaged over the images that have an object."""

    def __init__(
        self,
        num_classes: int = 1,
        *,
        spacing: Any = None,
        average: str = "macro",
        threshold: float = 0.5,
        ignore_index: float | None = None,
    ) -> None:
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
            raise ArgumentError(f"{type(self).__name__}: expected num_classes of at least 1, got {num_classes!r}; pass 1 for masks")
        op = type(self).__name__
        self.num_classes, self.ignore_index, self.threshold = num_classes, ignore_index, number(op, "threshold", threshold)
        self.spacing = spacing if spacing is None or isinstance(spacing, int | float) else tuple(number(op, "spacing", s) for s in spacing)
        self.average = chosen(type(self).__name__, "average", average, ("macro", "none"))
        self.reset()

    def _nothing(self) -> dict[str, Any]:
        return {"values": []}

    @abstractmethod
    def _of(self, prediction: Mask, target: Mask) -> float:
        """The value of one class of one image."""

    def update(self, prediction: Any, target: Any, mask: Any = None) -> Self:
        """Take in images: masks (N, ...), or for several classes labels (N, ...) or scores (N, C, ...) and class numbers (N, ...).

        A channel axis of one, (N, 1, H, W), is none: as a volume of one plane all of a mask would be surface.
        """
        op = type(self).__name__
        p, t = classes_of(op, prediction, target, self.num_classes, self.threshold)
        if t.ndim < 3:
            raise ShapeError(f"{op}: expected (N, ...), images along the first axis, got {t.shape}; add it with x[None]")
        kept = kept_pixels(op, host(target, op), mask, self.ignore_index)
        for name, labels in (("prediction", p), ("target", t)):
            check_classes(op, name, labels if kept is None else labels[kept], max(self.num_classes, 2))
        if t.ndim > 3 and t.shape[1] == 1:
            p, t, kept = p[:, 0], t[:, 0], None if kept is None else kept[:, 0]
        rows = []
        for i in range(len(t)):
            row = []
            for c in range(1, max(self.num_classes, 2)):
                a, b = p[i] == c, t[i] == c
                if kept is not None:
                    a, b = a & kept[i], b & kept[i]
                row.append(self._of(a, b) if a.any() or b.any() else math.nan)
            rows.append(row)
        self._state["values"] += rows
        return self

    def compute(self) -> Any:
        """The mean over images; over classes too, or with average "none" an array of the classes from 1."""
        values = self._state["values"]
        single = [mean(row[c] for row in values) for c in range(max(self.num_classes, 2) - 1)]
        if len(single) == 1:
            return single[0]
        return np.array(single) if self.average == "none" else mean(single)


class HausdorffDistance(_SurfaceMetric):
    """:func:`hausdorff_distance` over batches; ``percentile=95`` is HD95.

    Parameters
    ----------
    num_classes : int
        1 for masks; of several classes those from 1 are measured.
    percentile : float
    spacing : float or sequence of float, optional
    average : {"macro", "none"}
    threshold, ignore_index
        As for :class:`ConfusionMatrix`.

    Notes
    -----
    The mean is over the images in which a class is true or predicted: a missed object, or one too many, counts as the image's diagonal; an
    image where there is nothing and nothing was found does not count.

    Examples
    --------
    >>> from neurenix.metrics import HausdorffDistance
    >>> HausdorffDistance().update([[[1, 0, 0, 0]], [[0, 0, 0, 0]]], [[[0, 1, 0, 0]], [[0, 0, 0, 0]]]).compute()
    1.0
    """

    def __init__(self, num_classes: int = 1, *, percentile: float = 100, **settings: Any) -> None:
        self.percentile = _percentile("HausdorffDistance", percentile)
        super().__init__(num_classes, **settings)

    def _of(self, prediction: Mask, target: Mask) -> float:
        return hausdorff_distance(prediction, target, spacing=self.spacing, percentile=self.percentile)


class AverageSurfaceDistance(_SurfaceMetric):
    """:func:`average_surface_distance` over batches; settings as :class:`HausdorffDistance`, without ``percentile``.

    Examples
    --------
    >>> from neurenix.metrics import AverageSurfaceDistance
    >>> prediction, target = [[[1, 1, 0, 0]]], [[[0, 0, 1, 1]]]  # (N, H, W)
    >>> AverageSurfaceDistance().update(prediction, target).compute()
    1.5
    >>> AverageSurfaceDistance(spacing=(1.0, 0.5)).update(prediction, target).compute()  # columns of half a micrometre
    0.75
    """

    def _of(self, prediction: Mask, target: Mask) -> float:
        return average_surface_distance(prediction, target, spacing=self.spacing)


class SurfaceDice(_SurfaceMetric):
    """:func:`surface_dice` over batches; settings as :class:`HausdorffDistance`, with ``tolerance`` for ``percentile``.

    Examples
    --------
    >>> from neurenix.metrics import SurfaceDice
    >>> prediction, target = [[[1, 0, 0, 0]]], [[[0, 0, 0, 1]]]  # (N, H, W): three pixels apart
    >>> [SurfaceDice(tolerance=t).update(prediction, target).compute() for t in (1.0, 3.0)]
    [0.0, 1.0]
    """

    def __init__(self, num_classes: int = 1, *, tolerance: float = 1.0, **settings: Any) -> None:
        self.tolerance = _tolerance("SurfaceDice", tolerance)
        super().__init__(num_classes, **settings)

    def _of(self, prediction: Mask, target: Mask) -> float:
        return surface_dice(prediction, target, self.tolerance, spacing=self.spacing)
