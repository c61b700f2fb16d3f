"""Functions that several layers and models are made of, as operators of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix.export import sampling
from neurenix.export.graph import FLOAT, INT, Value


def relu(x: Value) -> Value:
    """The positive part."""
    return x.graph.node("Relu", x)


def sigmoid(x: Value) -> Value:
    """``1 / (1 + exp(-x))``."""
    return x.graph.node("Sigmoid", x)


def softmax(x: Value, axis: int) -> Value:
    """Shares along an axis."""
    return x.graph.node("Softmax", x, axis=axis)


def activate(x: Value, name: str | None) -> Value:
    """A model's final activation."""
    if name == "sigmoid":
        return sigmoid(x)
    return softmax(x, 1) if name == "softmax" else x


def cat(values: Sequence[Value], axis: int = 1) -> Value:
    """Values one after another along an axis."""
    return values[0].graph.node("Concat", *values, axis=axis) if len(values) > 1 else values[0]


def added(values: Sequence[Value]) -> Value:
    """The sum of values, from the first on."""
    total = values[0]
    for v in values[1:]:
        total = total + v
    return total


def transposed(x: Value, *order: int) -> Value:
    """Axes in another order."""
    return x.graph.node("Transpose", x, perm=list(order))


def reduced(x: Value, how: str, axes: Sequence[int], keep: bool = True) -> Value:
    """``"Mean"``, ``"Max"`` or ``"Sum"`` over axes."""
    g = x.graph
    return g.node(f"Reduce{how}", x, g.constant(list(axes)), keepdims=int(keep), rank=x.rank - (0 if keep else len(axes)), dtype=x.dtype)


def conv(
    x: Value, weight: Any, bias: Any, stride: Sequence[int], ends: Sequence[Sequence[int]], dilation: Sequence[int], groups: int
) -> Value:
    """A convolution with so many zeros before and behind each axis."""
    pads = [low for low, _ in ends] + [high for _, high in ends]
    settings = {"strides": list(stride), "pads": pads, "dilations": list(dilation), "group": groups}
    inputs = [x, weight] if bias is None else [x, weight, bias]
    return x.graph.node("Conv", *inputs, rank=x.rank, kernel_shape=list(weight.shape[2:]), **settings)


def max_pool(
    x: Value,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int] = (),
    ceil: bool = False,
    behind: Sequence[int] = (),
) -> Value:
    """The maximum of each window."""
    settings: dict[str, Any] = {"dilations": list(dilation)} if dilation else {}
    pads = [*padding, *(behind or padding)]
    return x.graph.node("MaxPool", x, kernel_shape=list(kernel), strides=list(stride), pads=pads, ceil_mode=int(ceil), **settings)


def half(x: Value) -> Value:
    """The maximum of each 2 x 2 pixels, sizes rounded up."""
    return max_pool(x, (2, 2), (2, 2), (0, 0), ceil=True)


def average_pool(
    x: Value, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], behind: Sequence[int] = (), padded: bool = False
) -> Value:
    """The mean of each window, of the pixels within the map or with the zeros around it."""
    pads = [*padding, *(behind or padding)]
    return x.graph.node("AveragePool", x, kernel_shape=list(kernel), strides=list(stride), pads=pads, count_include_pad=int(padded))


def same_pool(x: Value, size: int, kind: str) -> Value:
    """Windows at every pixel."""
    low, high = ((size - 1) // 2,) * 2, (size // 2,) * 2
    if kind == "max":
        return max_pool(x, (size, size), (1, 1), low, behind=high)
    return average_pool(x, (size, size), (1, 1), low, high)


def adaptive_pool(x: Value, counts: Sequence[Value | int | None], kind: str) -> Value:
    """So many windows an axis; ``None`` leaves an axis as it is."""
    if all(c == 1 for c in counts if not isinstance(c, Value)) and None not in counts and not any(isinstance(c, Value) for c in counts):
        return reduced(x, "Max" if kind == "max" else "Mean", range(2, x.rank))
    for axis, count in enumerate(counts, 2):
        if count is not None:
            bins = sampling.bins(sampling.size(x, axis), count if isinstance(count, Value) else x.graph.constant([count]))
            x = (sampling.largest if kind == "max" else sampling.averaged)(x, axis, *bins)
    return x


def pad(x: Value, ends: Sequence[int], mode: str, value: float = 0.0) -> Value:
    """A border: so many pixels before and behind, the last axis first, as PyTorch counts them; negative ones are cut off."""
    g, pairs = x.graph, list(zip(ends[::2], ends[1::2], strict=True))
    axes = [x.rank - 1 - i for i in range(len(pairs))]
    if mode == "constant":
        pads = g.constant([low for low, _ in pairs] + [high for _, high in pairs])
        return g.node("Pad", x, pads, g.constant(value, FLOAT), g.constant(axes), mode="constant", rank=x.rank)
    for axis, (low, high) in zip(axes, pairs, strict=True):
        if low or high:
            x = sampling.gather(x, sampling.border(sampling.size(x, axis), low, high, mode), axis)
    return x


def column(x: Value, t: Any) -> Any:
    """A weight of one value a channel, as a factor of maps."""
    return sampling.reshape(x.graph.weight(t), [-1] + [1] * (x.rank - 2))


def group_norm(x: Value, groups: int, weight: Any, bias: Any, eps: float) -> Value:
    """Each group of channels with mean 0 and variance 1, then the weights."""
    g = x.graph
    ones, zeros = g.constant(np.ones(groups), FLOAT), g.constant(np.zeros(groups), FLOAT)
    y = g.node("InstanceNormalization", sampling.reshape(x, [0, groups, -1]), ones, zeros, epsilon=eps)
    y = g.node("Reshape", y, g.node("Shape", x, dtype=INT, rank=1), rank=x.rank, dtype=x.dtype)
    y = y if weight is None else y * column(x, weight)
    return y if bias is None else y + column(x, bias)


def linear(x: Value, weight: Value, bias: Value | None) -> Value:
    """``x @ weight.T + bias``."""
    y = x.graph.node("MatMul", x, transposed(weight, 1, 0), rank=x.rank)
    return y if bias is None else y + bias


def flattened(x: Value, start: int, end: int) -> Value:
    """Axes from ``start`` to ``end`` as one."""
    g, n = x.graph, x.rank
    start, end = start % n, end % n
    shape = g.node("Shape", x, dtype=INT, rank=1)
    before, behind = (g.node("Slice", shape, g.constant([a]), g.constant([b])) for a, b in ((0, start), (end + 1, n)))
    return g.node("Reshape", x, cat([before, g.constant([-1]), behind], 0), rank=n - (end - start), dtype=x.dtype)
