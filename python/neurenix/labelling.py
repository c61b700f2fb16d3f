"""From masks to objects and back: connected components, watersheds, distances, growing objects, weights between them.

Everything here runs on the CPU and gives NumPy arrays.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.metrics._inputs import Mask, as_mask, host, whole_labels
from neurenix.ops import regions

CORE: Final = 0.7  # of objects_of_classes
SMALLEST: Final = 10
STEPS: Final = 4
_RANKS = {1: {2: 1}, 2: {4: 1, 8: 2}, 3: {6: 1, 18: 2, 26: 3}}  # axes along which neighbours differ at most, by their number


def connected_components(mask: Any, *, connectivity: int | None = None, min_size: int = 1) -> Mask:
    """Number the connected regions of a mask, or the connected regions of equal labels.

    Parameters
    ----------
    mask : array or Tensor, shape (H, W), (D, H, W) or (L,)
        Bool; or floats, of which those above 0.5 count; or integers, of which neighbours that are equal and not 0 are one region.
    connectivity : {4, 8} for images, {6, 18, 26} for volumes, optional
        The neighbours of a pixel. By default those with which it shares a side: 4, or 6.
    min_size : int
        Regions of fewer pixels become background.

    Returns
    -------
    numpy.ndarray of the mask's shape, int64
        0 for background, 1, 2, ... in order of each region's first pixel, row by row.

    Raises
    ------
    ArgumentError
        If ``min_size`` is no integer.

    Notes
    -----
    Union and find in one pass, in about linear time.

    Examples
    --------
    >>> from neurenix.labelling import connected_components
    >>> connected_components([[1, 0, 1], [0, 1, 1]])
    array([[1, 0, 2],
           [0, 2, 2]])
    """
    op = "connected_components"
    if isinstance(min_size, bool) or not isinstance(min_size, int | np.integer):
        raise ArgumentError(f"{op}: expected min_size as an integer, got {min_size!r}; pass e.g. 10")
    values = host(mask, op)
    values = np.ascontiguousarray(as_mask(values) if values.dtype.kind == "f" else values)
    rank = _rank(op, values, connectivity)
    labels: Mask = np.empty(values.shape, np.int64)
    depth, height, width = _three(values.shape)
    regions.label_components(values, labels, depth, height, width, rank)
    if min_size > 1:
        sizes = np.bincount(labels.ravel())
        kept = sizes >= min_size
        kept[:1] = False
        labels = (np.cumsum(kept) * kept)[labels]
    return labels


def distance_transform_edt(mask: Any, *, spacing: Any = None) -> Mask:
    """How far each pixel of a mask is from the nearest pixel outside it: the exact Euclidean distance.

    Parameters
    ----------
    mask : array or Tensor of any shape
        Bool; or floats, of which those above 0.5 count; or integers, of which those other than 0 count.
    spacing : float or sequence of float, optional
        Distance between neighbours along each axis; 1 by default.

    Returns
    -------
    numpy.ndarray of the mask's shape, float64
        0 outside; infinity everywhere if nothing is outside.

    Notes
    -----
    One pass an axis over lower envelopes of parabolas [1]_: linear time, exact for any spacing. For the distance to a mask rather than
    within it pass ``~mask``.

    References
    ----------
    .. [1] P. Felzenszwalb and D. Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8, 2012.

    Examples
    --------
    >>> from neurenix.labelling import distance_transform_edt
    >>> distance_transform_edt([[0, 1, 1, 1]], spacing=(1.0, 0.5))
    array([[0. , 0.5, 1. , 1.5]])
    """
    op = "distance_transform_edt"
    inside = host(mask, op)
    inside = np.asarray(as_mask(inside) if inside.dtype.kind == "f" else inside != 0)
    distance: Mask = np.sqrt(regions.squared_distance(inside, regions.spacing_of(op, spacing, inside.ndim)))
    return distance


def watershed(image: Any, markers: Any, *, mask: Any = None, connectivity: int | None = None, line: bool = False) -> Mask:
    """Flood an image from markers, lowest pixels first, until the floods meet: each marker's basin.

    Parameters
    ----------
    image : array or Tensor, shape (H, W), (D, H, W) or (L,)
        What is flooded: a boundary's probability, a gradient, or a negative distance.
    markers : integer array of the image's shape
        Where floods begin, by number; 0 elsewhere.
    mask : bool array, optional
        Where floods may go; everywhere by default.
    connectivity : {4, 8} for images, {6, 18, 26} for volumes, optional
    line : bool
        Leave the pixels where two floods meet 0.

    Returns
    -------
    numpy.ndarray of the image's shape, int64
        The number of the marker whose flood came first; 0 where none came.

    Raises
    ------
    DTypeError
        If the markers are no integers.
    ShapeError
        If image, markers and mask differ in shape.

    Notes
    -----
    Of pixels of one value the one that was reached first is flooded first, as ``skimage.segmentation.watershed`` does.

    References
    ----------
    .. [1] F. Meyer, "Color image segmentation", Int. Conf. on Image Processing and its Applications, 1992.

    Examples
    --------
    >>> from neurenix.labelling import watershed
    >>> watershed([[0.0, 1.0, 5.0, 2.0, 0.0]], [[1, 0, 0, 0, 2]])
    array([[1, 1, 1, 2, 2]])
    """
    op = "watershed"
    heights, seeds = host(image, op), host(markers, op)
    if seeds.dtype.kind not in "iu":
        raise DTypeError(f"watershed: expected integer markers, got {seeds.dtype}; number them with connected_components(mask)")
    open_to_floods = np.ones(heights.shape, bool) if mask is None else as_mask(host(mask, op))
    if seeds.shape != heights.shape or open_to_floods.shape != heights.shape:
        shapes = f"{heights.shape}, {seeds.shape} and {open_to_floods.shape}"
        raise ShapeError(f"watershed: expected an image, markers and a mask of one shape, got {shapes}; pass those of one image")
    rank = _rank(op, heights, connectivity)
    heights = np.ascontiguousarray(heights, np.float32 if heights.dtype in (np.float32, np.float16, np.uint8, np.uint16) else np.float64)
    labels = np.empty(heights.shape, np.int64)
    seeds, open_to_floods = np.ascontiguousarray(seeds, np.int64), np.ascontiguousarray(open_to_floods)
    depth, height, width = _three(heights.shape)
    regions.watershed_flood(heights, seeds, open_to_floods, labels, depth, height, width, rank, int(bool(line)))
    return labels


def grow(labels: Any, mask: Any, steps: int | None = None) -> Mask:
    """Let objects grow over the pixels of a mask that belong to none, one pixel a step, until they meet.

    A pixel that two of them reach at once goes to the larger number.

    Parameters
    ----------
    labels : integer array, shape (H, W)
        0 is background.
    mask : bool array, shape (H, W)
        Where they may grow.
    steps : int, optional
        At most so many pixels far; as far as there is room if ``None``.

    Raises
    ------
    ShapeError
        If labels and mask are not (H, W) of one shape.
    DTypeError
        If ``steps`` is no integer of at least 0.

    Examples
    --------
    >>> from neurenix.labelling import grow
    >>> grow([[1, 0, 0, 0, 2, 0]], [[1, 1, 1, 1, 1, 0]])
    array([[1, 1, 2, 2, 2, 0]])
    """
    grown, inside = whole_labels("grow", labels).astype(np.int64), as_mask(host(mask, "grow"))
    if grown.shape != inside.shape or grown.ndim != 2:
        raise ShapeError(f"grow: expected labels and a mask (H, W) of one shape, got {grown.shape} and {inside.shape}; pass one image's")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 0):
        raise DTypeError(f"grow: expected steps to be an integer of at least 0, got {steps!r}; pass None to fill the mask")
    left = sum(grown.shape) * 2 + grown.size if steps is None else steps
    while left > 0:
        around = np.pad(grown, 1)
        nearest = np.maximum.reduce([around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]])
        new = (grown == 0) & inside & (nearest > 0)
        if not new.any():
            break
        grown[new] = nearest[new]
        left -= 1
    return grown


def border_classes(labels: Any, *, reach: int = 2) -> Mask:
    """Background (0), object (1) and the border between objects that touch (2), from numbered objects: a target that keeps them apart.

    Parameters
    ----------
    labels : array or Tensor, shape (H, W)
        0 for background, another whole number for each object.
    reach : int
        A pixel is border where two different objects lie within so many rows and columns.

    Returns
    -------
    array, int64 (H, W)

    Raises
    ------
    ShapeError
        If there are other axes.
    ArgumentError
        If ``reach`` is below 1.

    References
    ----------
    .. [1] J. Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl", Nature Methods 16, 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.labelling import border_classes
    >>> border_classes(np.array([[1, 1, 1, 1, 2, 2, 0, 0]]), reach=1).tolist()
    [[1, 1, 1, 2, 2, 1, 0, 0]]
    """
    numbers = whole_labels("border_classes", labels)
    if numbers.ndim != 2:
        raise ShapeError(f"border_classes: expected labels (H, W), got shape {numbers.shape}; pass one image")
    if isinstance(reach, bool) or not isinstance(reach, int) or reach < 1:
        raise ArgumentError(f"border_classes: expected reach of at least 1 pixel, got {reach!r}; pass e.g. 2")
    height, width = numbers.shape
    none = np.iinfo(np.int64).max
    most, least = np.zeros((2, height, width), np.int64)
    least += none
    padded = np.pad(numbers.astype(np.int64), reach)
    for i in range(2 * reach + 1):
        for j in range(2 * reach + 1):
            near = padded[i : i + height, j : j + width]
            np.maximum(most, near, out=most)
            np.minimum(least, np.where(near > 0, near, none), out=least)
    border = (most > 0) & (most != least)
    return np.where(border, 2, (numbers > 0).astype(np.int64))


def objects_of_classes(probability: Any, *, core: float = CORE, min_size: int = SMALLEST, steps: int = STEPS) -> Mask:
    """Numbered objects from probabilities of background, object and border, the other way from :func:`border_classes`.

    Parameters
    ----------
    probability : array or Tensor, shape (3, H, W)
    core : float
        Pixels of a higher probability of object are the objects' cores; their connected regions are the objects.
    min_size : int
        Pixels of a core at least.
    steps : int
        Cores grow so many pixels over what is not background.

    Returns
    -------
    array, int64 (H, W)

    Raises
    ------
    ShapeError
        If there are other axes.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.labelling import objects_of_classes
    >>> inside = np.array([[0.9, 0.9, 0.1, 0.9, 0.1]])
    >>> objects_of_classes(np.stack([1 - inside - 0.05, inside, 0 * inside + 0.05]), min_size=1).tolist()
    [[1, 1, 0, 2, 0]]
    """
    p = host(probability, "objects_of_classes")
    if p.ndim != 3 or len(p) != 3:
        raise ShapeError(f"objects_of_classes: expected probabilities (3, H, W), got shape {p.shape}; pass background, object and border")
    return grow(connected_components(p[1] > core, min_size=min_size), p[0] < 0.5, steps=steps)


def separation_weights(labels: Any, *, weight: float = 10.0, sigma: float = 5.0, spacing: Any = None) -> Mask:
    """U-Net's weights of pixels: more on the background between objects that nearly touch.

    ``1 + weight exp(-(d1 + d2)^2 / (2 sigma^2))`` on the background, where d1 and d2 are the distances to the nearest object and the second
    nearest; 1 within objects. For ``pixel_weight`` of a loss.

    Parameters
    ----------
    labels : integer array or Tensor, shape (H, W) or (D, H, W)
        0 is background, every other number an object.
    weight : float
        What a pixel between touching objects has more than others.
    sigma : float
        How far it reaches, in the unit of ``spacing``.
    spacing : float or sequence of float, optional
        Distance between neighbours along each axis; 1 by default.

    Returns
    -------
    numpy.ndarray of the labels' shape, float32

    Raises
    ------
    ArgumentError
        If a number is not above 0.

    References
    ----------
    .. [1] O. Ronneberger et al., "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015.

    Examples
    --------
    >>> from neurenix.labelling import separation_weights
    >>> separation_weights([[1, 1, 0, 2, 2, 0, 0]], sigma=1.0).round(2)
    array([[1.  , 1.  , 2.35, 1.  , 1.  , 1.  , 1.  ]], dtype=float32)
    """
    op = "separation_weights"
    numbers = whole_labels(op, labels)
    for name, value in (("weight", weight), ("sigma", sigma)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
            raise ArgumentError(f"{op}: expected {name} above 0, got {value!r}; pass e.g. {name}=5.0")
    steps = regions.spacing_of(op, spacing, numbers.ndim)
    first, second = np.full(numbers.shape, np.inf), np.full(numbers.shape, np.inf)
    for number in np.unique(numbers[numbers != 0]):
        inside = numbers == number
        near = tuple(
            _around(np.flatnonzero(inside.any(tuple(k for k in range(inside.ndim) if k != axis))), 6 * sigma / step)
            for axis, step in enumerate(steps)
        )  # farther away the weight is below 1e-7
        distance = np.sqrt(regions.squared_distance(~inside[near], steps))
        second[near] = np.minimum(second[near], np.maximum(first[near], distance))
        first[near] = np.minimum(first[near], distance)
    more = weight * np.exp(-((first + second) ** 2) / (2 * sigma**2))
    return np.where(numbers == 0, 1 + more, 1).astype(np.float32)


def _around(places: Mask, reach: float) -> slice:
    """From the first place to the last, and so far on either side."""
    return slice(max(int(places[0]) - int(np.ceil(reach)), 0), int(places[-1]) + int(np.ceil(reach)) + 1)


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """A shape of one to three axes, with sizes 1 in front."""
    depth, height, width = (1,) * (3 - len(shape)) + shape
    return depth, height, width


def _rank(op: str, image: Mask, connectivity: int | None) -> int:
    """Along how many axes neighbours differ at most."""
    ranks = _RANKS.get(image.ndim)
    if ranks is None:
        raise ShapeError(f"{op}: expected (H, W) or (D, H, W), got {image.shape}; pass one image, e.g. x[0]")
    if connectivity is None:
        return 1
    if connectivity not in ranks:
        named = " or ".join(map(str, ranks))
        raise ArgumentError(f"{op}: expected connectivity {named}, got {connectivity!r}; pass one of them")
    return ranks[connectivity]
