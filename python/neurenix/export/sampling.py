"""Which pixels an output is made of, where sizes are known when a graph runs: resizing, windows, borders, crops.

An axis is resampled by gathering its taps and adding them with their weights; places and weights are computed in float64 inside
the graph, as the library computes them, since ONNX's own resizing has places in float32, a part in 10,000 of a pixel off.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from neurenix.export.graph import BOOL, DOUBLE, FLOAT, INT, Value

Taps = list[tuple[Value, Value | None]]  # index along the axis, weight; None is 1


def size(x: Value, axis: int) -> Value:
    """How long an axis is: int64 of shape (1,)."""
    return x.graph.node("Shape", x, dtype=INT, rank=1, start=axis, end=axis + 1)


def sizes(x: Value) -> list[Value]:
    """How long the spatial axes are."""
    return [size(x, axis) for axis in range(2, x.rank)]


def span(n: Value) -> Value:
    """0, 1, ... n - 1."""
    g = n.graph
    return g.node("Range", g.constant(0), g.node("Squeeze", n, rank=0), g.constant(1), rank=1)


def where(condition: Value, yes: Any, no: Any) -> Value:
    """Elements of one or the other."""
    g, like = condition.graph, yes if isinstance(yes, Value) else no
    values = [v if isinstance(v, Value) else g.constant(v, like.dtype) for v in (yes, no)]
    return g.node("Where", condition, *values, dtype=like.dtype)


def gather(x: Value, index: Value, axis: int) -> Value:
    """Elements at these places of an axis, which an index of two axes makes two of."""
    return x.graph.node("Gather", x, index, axis=axis, rank=x.rank + index.rank - 1)


def along(values: Value, x: Value, axis: int) -> Value:
    """A vector as factors of ``x`` along an axis."""
    return values if axis == x.rank - 1 else reshape(values, [-1] + [1] * (x.rank - 1 - axis))


def reshape(x: Value, shape: Sequence[int]) -> Value:
    """The same elements in a shape; 0 keeps an axis as it is, -1 takes what is left."""
    return x.graph.node("Reshape", x, x.graph.constant(np.array(shape, INT)), rank=len(shape))


def crop(x: Value, like: Sequence[Value]) -> Value:
    """The first so many pixels of each spatial axis."""
    g, axes = x.graph, list(range(2, 2 + len(like)))
    ends = g.node("Concat", *like, axis=0) if len(like) > 1 else like[0]
    return g.node("Slice", x, g.constant([0] * len(axes)), ends, g.constant(axes), dtype=x.dtype, rank=x.rank)


def part(x: Value, axis: int, start: int, end: int, step: int = 1) -> Value:
    """``x[start:end:step]`` of one axis."""
    g = x.graph
    return g.node("Slice", x, *(g.constant([v]) for v in (start, end, axis, step)), dtype=x.dtype, rank=x.rank)


def fitted(x: Value, like: Sequence[Value]) -> Value:
    """``x`` cut to a size, or its last row and column repeated."""
    for axis, want in enumerate(like, 2):
        x = gather(x, span(want).at_most(size(x, axis) - 1), axis)
    return x


# --- resizing


def scaled(n: Value, by: float) -> Value:
    """``max(1, floor(n * by))`` but for rounding, as :mod:`neurenix.multiscale` scales sizes."""
    exact = n.to(DOUBLE) * by
    near, floor = n.graph.node("Round", exact), n.graph.node("Floor", exact)
    off = n.graph.node("Abs", exact - near)
    return where(off.ask("LessOrEqual", exact.at_least(near) * 1e-9), near, floor).to(INT).at_least(1)


def _step(n: Value, out: Value, align: bool, scale: float | None) -> Value:
    if align:
        return (n - 1).to(DOUBLE) / (out - 1).at_least(1).to(DOUBLE)
    return n.graph.constant([1.0 / scale], DOUBLE) if scale is not None else n.to(DOUBLE) / out.to(DOUBLE)


def _places(n: Value, out: Value, align: bool, scale: float | None, whole: bool = False) -> Value:
    step, i = _step(n, out, align, scale), span(out).to(DOUBLE)
    step = _kept(n, out, step) if whole and scale is not None and not align else step
    return i * step if align else (i + 0.5) * step - 0.5


def _kept(n: Value, out: Value, step: Value, times: int = 1) -> Value:
    """The step where an axis gets another size; one that keeps it, or doubles it, is copied or doubled whatever the factor."""
    return where(out.ask("Equal", n * times), n.graph.constant([1.0 / times], DOUBLE), step)


def nearest_taps(n: Value, out: Value, scale: float | None, exact: bool, whole: bool = False) -> Taps:
    """One pixel for each output."""
    i, step = span(out).to(DOUBLE), _step(n, out, False, scale)
    if whole and scale is not None and not exact:
        step = _kept(n, out, _kept(n, out, step), 2)
    place = (i + 0.5 if exact else i) * step.to(FLOAT).to(DOUBLE)
    return [(n.graph.node("Floor", place.to(FLOAT)).to(INT).at_most(n - 1), None)]


def linear_taps(n: Value, out: Value, align: bool, scale: float | None) -> Taps:
    """Two pixels for each output."""
    place = _places(n, out, align, scale, True).at_least(0.0)
    first = n.graph.node("Floor", place).at_most((n - 1).to(DOUBLE))
    share, index = (place - first).at_least(0.0).at_most(1.0), first.to(INT)
    return [(index, 1.0 - share), ((index + 1).at_most(n - 1), share)]


def _cubic(x: Value, a: float) -> Value:
    x = x.graph.node("Abs", x)
    near = (x * (a + 2) - (a + 3)) * x * x + 1.0
    far = ((x * a - 5 * a) * x + 8 * a) * x - 4 * a
    return where(x.ask("Less", 1.0), near, where(x.ask("Less", 2.0), far, 0.0))


def cubic_taps(n: Value, out: Value, align: bool, scale: float | None) -> Taps:
    """Four pixels for each output."""
    place = _places(n, out, align, scale)
    first = n.graph.node("Floor", place)
    index, share = first.to(INT), place - first
    return [((index + k).at_least(0).at_most(n - 1), _cubic(share - float(k), -0.75)) for k in range(-1, 3)]


def _antialiased(n: Value, out: Value, scale: float | None, cubic: bool) -> Value:
    """Weights (out, n) of every pixel in every output."""
    step = _step(n, out, False, scale)
    step = step if scale is None else _kept(n, out, step)
    stretch = step.at_least(1.0)
    reach = stretch * (2.0 if cubic else 1.0)
    center = reshape((span(out).to(DOUBLE) + 0.5) * step, [-1, 1])
    pixel = span(n).to(DOUBLE)
    first = (center - reach + 0.5).to(INT).at_least(0).to(DOUBLE)
    last = (center + reach + 0.5).to(INT).at_most(n).to(DOUBLE)
    offset = (pixel - center + 0.5) / stretch
    weight = _cubic(offset, -0.5) if cubic else (1.0 - n.graph.node("Abs", offset)).at_least(0.0)
    inside = n.graph.node("And", pixel.ask("GreaterOrEqual", first), pixel.ask("Less", last), dtype=BOOL)
    weight = where(inside, weight, 0.0)
    return weight / n.graph.node("ReduceSum", weight, n.graph.constant([1]), dtype=DOUBLE, keepdims=1)


def blended(x: Value, axis: int, taps: Taps) -> Value:
    """The weighted sum of an axis's taps."""
    total: Value | None = None
    for index, weight in taps:
        found = gather(x, index, axis)
        found = found if weight is None else found * along(weight.to(FLOAT), x, axis)
        total = found if total is None else total + found
    assert total is not None
    return total


def mixed(x: Value, axis: int, weights: Value) -> Value:
    """Each output of an axis as a sum over all its pixels, by a matrix (outputs, pixels); for the last two axes."""
    g, matrix = x.graph, weights.to(FLOAT)
    if axis == x.rank - 1:
        return g.node("MatMul", x, g.node("Transpose", matrix, perm=[1, 0]), rank=x.rank)
    return g.node("MatMul", matrix, x, rank=x.rank)


def resize(
    x: Value,
    to: Sequence[Value],
    mode: str = "bilinear",
    *,
    align: bool = False,
    scale: Sequence[float | None] = (),
    antialias: bool = False,
) -> Value:
    """``x`` at another size, as :func:`neurenix.nn.functional.interpolate` makes it."""
    rules: dict[str, Any] = {
        "nearest": partial(nearest_taps, exact=False, whole=x.rank == 4),
        "nearest-exact": partial(nearest_taps, exact=True),
        "bicubic": partial(cubic_taps, align=align),
    }
    for axis, out in enumerate(to, 2):
        n, by = size(x, axis), scale[axis - 2] if scale else None
        if mode == "area":
            x = averaged(x, axis, *bins(n, out))
        elif antialias:
            x = mixed(x, axis, _antialiased(n, out, by, mode == "bicubic"))
        else:
            x = blended(x, axis, rules.get(mode, partial(linear_taps, align=align))(n, out, scale=by))
    return x


def resize_like(x: Value, like: Value, mode: str = "nearest") -> Value:
    """``x`` at the size of another map."""
    return resize(x, sizes(like), mode)


# --- windows of changing length


def bins(n: Value, count: Value) -> tuple[Value, Value]:
    """Where adaptive pooling's windows start and end."""
    i = span(count)
    return (i * n) // count, ((i + 1) * n + count - 1) // count


def sliding(n: Value, kernel: int, stride: int, low: int, high: int) -> tuple[Value, Value, Value]:
    """Starts and ends within the axis of windows that may hang over its end, and how many pixels each has with its padding."""
    outputs = (n + (low + high - kernel + stride - 1)) // stride + 1
    outputs = where(((outputs - 1) * stride).ask("GreaterOrEqual", n + low), outputs - 1, outputs)
    first = span(outputs) * stride - low
    whole = (first + kernel).at_most(n + high) - first
    return first.at_least(0), (first + kernel).at_most(n), whole


def _windowed(x: Value, axis: int, start: Value, end: Value) -> tuple[Value, Value]:
    """The pixels of each window along an axis of their own, and which of them are within it."""
    g = x.graph
    longest = g.node("ReduceMax", end - start, dtype=INT, keepdims=1)
    column = partial(reshape, shape=[-1, 1])
    place = column(start) + span(longest)
    return gather(x, place.at_most(column(end) - 1), axis), place.ask("Less", column(end))


def largest(x: Value, axis: int, start: Value, end: Value) -> Value:
    """The maximum of each window."""
    found, _ = _windowed(x, axis, start, end)  # beyond its end a window has its last pixel again
    return x.graph.node("ReduceMax", found, x.graph.constant([axis + 1]), rank=x.rank, dtype=x.dtype, keepdims=0)


def averaged(x: Value, axis: int, start: Value, end: Value, count: Value | None = None) -> Value:
    """The mean of each window, or its sum over another count."""
    found, inside = _windowed(x, axis, start, end)
    g, rest = x.graph, [1] * (x.rank - 1 - axis)
    weight = reshape(inside.to(FLOAT), [0, 0, *rest])
    total = g.node("ReduceSum", found * weight, g.constant([axis + 1]), rank=x.rank, dtype=x.dtype, keepdims=0)
    return total / along((end - start if count is None else count).to(FLOAT), x, axis)


# --- borders


def border(n: Value, low: int, high: int, mode: str) -> Value:
    """Of which pixel each one of an axis with a border is a copy."""
    i = span(n + (low + high)) - low
    if mode == "replicate":
        return i.at_least(0).at_most(n - 1)
    if mode == "circular":
        return i % n
    period = n * 2 if mode == "symmetric" else (n * 2 - 2).at_least(1)
    i = i % period
    return where(i.ask("GreaterOrEqual", n), period - (1 if mode == "symmetric" else 0) - i, i)


def smoothed(x: Value, axis: int, weights: np.ndarray[Any, Any], mode: str) -> Value:
    """An axis filtered by symmetric weights."""
    g, radius = x.graph, len(weights) // 2
    x = gather(x, border(size(x, axis), radius, radius, mode), axis)
    shape = g.node("Shape", x, dtype=INT, rank=1)
    single = g.node("Reshape", x, g.node("Concat", g.constant([-1, 1]), size(x, 2), size(x, 3), axis=0), dtype=FLOAT, rank=4)
    kernel = weights.reshape((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
    found = g.node("Conv", single, g.constant(kernel, FLOAT), kernel_shape=list(kernel.shape[2:]))
    ends = [size(found, a) for a in (2, 3)]
    lead = g.node("Slice", shape, g.constant([0]), g.constant([2]), rank=1)
    return g.node("Reshape", found, g.node("Concat", lead, *ends, axis=0), dtype=FLOAT, rank=4)
