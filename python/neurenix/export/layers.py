"""How layers become operators of ONNX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix import nn
from neurenix.export import sampling
from neurenix.export.functions import (
    adaptive_pool,
    average_pool,
    cat,
    conv,
    flattened,
    group_norm,
    linear,
    max_pool,
    pad,
    reduced,
    softmax,
    transposed,
)
from neurenix.export.graph import FLOAT, INT, Graph, Value, rule


def each(values: Any, axes: int) -> tuple[int, ...]:
    """One number an axis."""
    return tuple(values) if isinstance(values, Sequence) else (values,) * axes


@rule(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
def _identity(_: Graph, __: Any, x: Any) -> Any:
    return x


@rule(nn.Sequential)
def sequential(g: Graph, m: Any, x: Any) -> Any:
    """One after another."""
    for layer in m:
        x = g.call(layer, x)
    return x


# --- convolutions and products


@rule(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def _conv(_: Graph, m: Any, x: Value) -> Value:
    ends = m._zeros
    if m.padding_mode != "zeros" and any(map(any, ends)):
        x = pad(x, [n for pair in reversed(ends) for n in pair], m.padding_mode)
        ends = [(0, 0)] * len(ends)
    return conv(x, m.weight, m.bias, m.stride, ends, m.dilation, m.groups)


@rule(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
def _conv_transpose(g: Graph, m: Any, x: Value) -> Value:
    pads = [low for low, _ in m._zeros] + [high for _, high in m._zeros]
    settings = {"strides": list(m.stride), "pads": pads, "dilations": list(m.dilation), "output_padding": list(m.output_padding)}
    inputs = [x, m.weight] if m.bias is None else [x, m.weight, m.bias]
    return g.node("ConvTranspose", *inputs, rank=x.rank, kernel_shape=list(m.kernel_size), group=m.groups, **settings)


@rule(nn.Linear)
def _linear(g: Graph, m: Any, x: Value) -> Value:
    return linear(x, g.weight(m.weight), None if m.bias is None else g.weight(m.bias))


@rule(nn.Flatten)
def _flatten(_: Graph, m: Any, x: Value) -> Value:
    return flattened(x, m.start_dim, m.end_dim)


@rule(nn.MultiheadAttention)
def _attention(g: Graph, m: Any, query: Value, key: Value, value: Value) -> list[Value]:
    if query.rank != 3 or m.bias_k is not None or m.add_zero_attn:
        raise g.refusal("MultiheadAttention without a batch axis, or with add_bias_kv or add_zero_attn")
    e, heads = m.embed_dim, m.num_heads
    q, k, v = (_projected(g, m, i, t if m.batch_first else transposed(t, 1, 0, 2)) for i, t in enumerate((query, key, value)))
    q, k, v = (transposed(sampling.reshape(t, [0, 0, heads, e // heads]), 0, 2, 1, 3) for t in (q, k, v))
    weights = softmax(g.node("MatMul", q * math.sqrt(heads / e), transposed(k, 0, 1, 3, 2)), -1)
    y = sampling.reshape(transposed(g.node("MatMul", weights, v), 0, 2, 1, 3), [0, 0, e])
    y = g.call(m.out_proj, y)
    return [y if m.batch_first else transposed(y, 1, 0, 2), reduced(weights, "Mean", [1], False)]


def _projected(g: Graph, m: Any, letter: int, x: Value) -> Value:
    ends = [g.constant([letter * m.embed_dim]), g.constant([(letter + 1) * m.embed_dim]), g.constant([0])]
    weight = g.node("Slice", g.weight(m.in_proj_weight), *ends) if m._joint else g.weight(getattr(m, f"{'qkv'[letter]}_proj_weight"))
    return linear(x, weight, None if m.in_proj_bias is None else g.node("Slice", g.weight(m.in_proj_bias), *ends))


# --- normalisation


def _running(g: Graph, m: Any, x: Value) -> Value:
    ones, zeros = np.ones(m.num_features), np.zeros(m.num_features)
    weight = g.constant(ones, FLOAT) if m.weight is None else m.weight
    bias = g.constant(zeros, FLOAT) if m.bias is None else m.bias
    return g.node("BatchNormalization", x, weight, bias, m.running_mean, m.running_var, epsilon=m.eps, rank=x.rank)


@rule(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
def _batch_norm(g: Graph, m: Any, x: Value) -> Value:
    if m.running_mean is None:
        raise g.refusal(f"{type(m).__name__} without running statistics, whose outputs depend on the batch", advice="use GroupNorm")
    return _running(g, m, x)


@rule(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
def _instance_norm(g: Graph, m: Any, x: Value) -> Value:
    if m.running_mean is not None:
        return _running(g, m, x)
    weight = g.constant(np.ones(m.num_features), FLOAT) if m.weight is None else m.weight
    bias = g.constant(np.zeros(m.num_features), FLOAT) if m.bias is None else m.bias
    return g.node("InstanceNormalization", x, weight, bias, epsilon=m.eps, rank=x.rank)


@rule(nn.GroupNorm)
def _group_norm(_: Graph, m: Any, x: Value) -> Value:
    return group_norm(x, m.num_groups, m.weight, m.bias, m.eps)


@rule(nn.LayerNorm)
def layer_norm(g: Graph, m: Any, x: Value) -> Value:
    """Over the last axes."""
    weight = g.constant(np.ones(m.normalized_shape), FLOAT) if m.weight is None else m.weight
    inputs = [x, weight] if m.bias is None else [x, weight, m.bias]
    return g.node("LayerNormalization", *inputs, axis=-len(m.normalized_shape), epsilon=m.eps, rank=x.rank)


@rule(nn.RMSNorm)
def _rms_norm(g: Graph, m: Any, x: Value) -> Value:
    eps = float(np.finfo(np.float32).eps) if m.eps is None else m.eps
    y = x / g.node("Sqrt", reduced(x * x, "Mean", range(-len(m.normalized_shape), 0)) + eps)
    return y if m.weight is None else y * g.weight(m.weight)


@rule(nn.LocalResponseNorm)
def _local_response_norm(g: Graph, m: Any, x: Value) -> Value:
    if m.size % 2 == 0:
        raise g.refusal("LocalResponseNorm of an even size, whose windows ONNX has elsewhere", advice="use an odd size")
    return g.node("LRN", x, size=m.size, alpha=float(m.alpha), beta=float(m.beta), bias=float(m.k))


# --- pooling, padding, resizing


@rule(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
def _max_pool(g: Graph, m: Any, x: Value) -> Value:
    if m.return_indices:
        raise g.refusal(f"{type(m).__name__} with return_indices", advice="pass return_indices=False")
    n = m._axes
    return max_pool(x, each(m.kernel_size, n), each(m.stride, n), each(m.padding, n), each(m.dilation, n), m.ceil_mode)


@rule(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
def _avg_pool(g: Graph, m: Any, x: Value) -> Value:
    n = x.rank - 2
    kernel, stride, padding = each(m.kernel_size, n), each(m.stride, n), each(m.padding, n)
    if getattr(m, "divisor_override", None) is not None:
        raise g.refusal(f"{type(m).__name__} with divisor_override", advice="multiply the next layer's weights instead")
    if not m.ceil_mode:
        return average_pool(x, kernel, stride, padding, padded=m.count_include_pad)
    for axis, (k, s, p) in enumerate(zip(kernel, stride, padding, strict=True), 2):
        start, end, whole = sampling.sliding(sampling.size(x, axis), k, s, p, p)
        x = sampling.averaged(x, axis, start, end, whole if m.count_include_pad else None)
    return x


@rule(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
def _adaptive_avg_pool(_: Graph, m: Any, x: Value) -> Value:
    return adaptive_pool(x, each(m.output_size, m._axes), "avg")


@rule(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
def _adaptive_max_pool(g: Graph, m: Any, x: Value) -> Value:
    if m.return_indices:
        raise g.refusal(f"{type(m).__name__} with return_indices", advice="pass return_indices=False")
    return adaptive_pool(x, each(m.output_size, m._axes), "max")


@rule(nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)
def _constant_pad(_: Graph, m: Any, x: Value) -> Value:
    return pad(x, m.padding, "constant", float(getattr(m, "value", 0.0)))


_BORDERS = [f"{kind}Pad{n}d" for kind in ("Reflection", "Replication", "Circular") for n in (1, 2, 3)]


@rule(*(getattr(nn, name) for name in _BORDERS))
def _border_pad(g: Graph, m: Any, x: Value) -> Value:
    if min(m.padding) < 0:
        raise g.refusal(f"{type(m).__name__} of less than 0 pixels", advice="cut the input instead")
    return pad(x, m.padding, m._mode)


@rule(nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d)
def _upsample(g: Graph, m: Any, x: Value) -> Value:
    n = x.rank - 2
    if m.size is not None:
        return sampling.resize(x, [g.constant([s]) for s in each(m.size, n)], m.mode, align=bool(m.align_corners))
    factors = [float(s) for s in each(m.scale_factor, n)]
    to = [g.node("Floor", s.to(np.dtype("float64")) * f).to(INT) for s, f in zip(sampling.sizes(x), factors, strict=True)]
    return sampling.resize(x, to, m.mode, align=bool(m.align_corners), scale=[] if m.recompute_scale_factor else factors)


@rule(nn.PixelShuffle)
def _pixel_shuffle(g: Graph, m: Any, x: Value) -> Value:
    return g.node("DepthToSpace", x, blocksize=m.upscale_factor, mode="CRD")


@rule(nn.PixelUnshuffle)
def _pixel_unshuffle(g: Graph, m: Any, x: Value) -> Value:
    r, shape = m.downscale_factor, [sampling.size(x, a) for a in range(4)]
    h, w = (s // r for s in shape[2:])
    r1 = g.constant([r])
    split = g.node("Reshape", x, cat([shape[0], shape[1], h, r1, w, r1], 0), rank=6, dtype=x.dtype)
    return g.node("Reshape", transposed(split, 0, 1, 3, 5, 2, 4), cat([shape[0], shape[1] * (r * r), h, w], 0), rank=4, dtype=x.dtype)


@rule(nn.ChannelShuffle)
def _channel_shuffle(g: Graph, m: Any, x: Value) -> Value:
    split = g.node(
        "Reshape", x, cat([sampling.size(x, 0), g.constant([m.groups]), sampling.size(x, 1) // m.groups, g.constant([-1])], 0), rank=4
    )
    return g.node("Reshape", transposed(split, 0, 2, 1, 3), g.node("Shape", x, dtype=INT, rank=1), rank=x.rank, dtype=x.dtype)
