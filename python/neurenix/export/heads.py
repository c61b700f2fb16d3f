"""How pyramids, context modules, pooling and fusion of :mod:`neurenix.multiscale` become operators of ONNX: each follows its ``forward``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix.export import sampling
from neurenix.export.functions import adaptive_pool, added, average_pool, cat, flattened, max_pool, reduced, relu, same_pool
from neurenix.export.graph import INT, Graph, Value, rule
from neurenix.export.models import weighted
from neurenix.export.sampling import resize_like
from neurenix.multiscale import (
    ASPP,
    DAPPM,
    PPM,
    SPPF,
    AttentionFusion,
    BiFPN,
    FeatureFusion,
    FeaturePyramidNetwork,
    LastLevelMaxPool,
    LastLevelP6P7,
    MultiScalePooling,
    PANet,
    PyramidPooling,
    ScaleFusion,
    SpatialPyramidPooling,
    UPerHead,
)
from neurenix.multiscale.path_aggregation import EPSILON, BiFPNLayer, Node as FusionNode

Maps = Sequence[Value]

# --- feature pyramids


@rule(FeaturePyramidNetwork)
def _feature_pyramid(g: Graph, m: Any, maps: Maps) -> list[Value]:
    found: list[Value] = []
    inner: Value | None = None
    for i in reversed(range(len(maps))):
        lateral = g.call(m.inner_blocks[i], maps[i])
        inner = lateral if inner is None else lateral + resize_like(inner, lateral)
        found.insert(0, g.call(m.layer_blocks[i], inner))
    if m.extra_blocks is None:
        return found
    results: list[Value] = g.call(m.extra_blocks, found, list(maps))
    return results


@rule(LastLevelMaxPool)
def _last_max_pool(_: Graph, __: Any, results: Maps, ___: Maps) -> list[Value]:
    last = results[-1]
    for axis in (2, 3):
        last = sampling.part(last, axis, 0, 1 << 62, 2)
    return [*results, last]


@rule(LastLevelP6P7)
def _last_convolutions(g: Graph, m: Any, results: Maps, maps: Maps) -> list[Value]:
    p6 = g.call(m.p6, results[-1] if m.in_channels == m.out_channels else maps[-1])
    return [*results, p6, g.call(m.p7, relu(p6))]


@rule(PANet)
def _panet(g: Graph, m: Any, maps: Maps) -> list[Value]:
    levels = g.call(m.pyramid, maps)
    found = [levels[0]]
    for i, level in enumerate(levels[1:]):
        found.append(g.call(m.fuses[i], resize_like(g.call(m.downs[i], found[-1]), level) + level))
    return found


@rule(BiFPN)
def _bifpn(g: Graph, m: Any, maps: Maps) -> Any:
    found = [g.call(project, x) for project, x in zip(m.projections, maps, strict=True)]
    for layer in m.layers:
        found = g.call(layer, found)
    return found


@rule(BiFPNLayer)
def _bifpn_layer(g: Graph, m: Any, maps: Maps) -> list[Value]:
    merged = [maps[-1]]
    for x, node in zip(reversed(maps[:-1]), m.down, strict=True):
        merged.insert(0, g.call(node, [x, resize_like(merged[0], x)]))
    found = merged[:1]
    for i, node in enumerate(m.up, 1):
        inputs = [maps[i], merged[i]] if i < len(maps) - 1 else [maps[i]]
        found.append(g.call(node, [*inputs, _smaller(found[-1], maps[i])]))
    return found


@rule(FusionNode)
def _fusion_node(g: Graph, m: Any, maps: Maps) -> Any:
    weight = relu(g.weight(m.weight))
    weight = weight / (reduced(weight, "Sum", (0,)) + EPSILON)
    fused = added([x * sampling.part(weight, 0, i, i + 1) for i, x in enumerate(maps)])
    return g.call(m.pointwise, g.call(m.depthwise, fused * g.node("Sigmoid", fused)))


def _smaller(x: Value, like: Value) -> Value:
    """The maximum of 3 x 3 at every second pixel where that gives the size, otherwise of as many windows as it takes."""
    g, ns, to = x.graph, sampling.sizes(x), sampling.sizes(like)
    halves = [((n + 1) // 2).ask("Equal", t) for n, t in zip(ns, to, strict=True)]
    both = g.node("And", *halves)
    for axis, (n, t) in enumerate(zip(ns, to, strict=True), 2):
        middle, (start, end) = sampling.span(t) * 2, sampling.bins(n, t)
        start = sampling.where(both, (middle - 1).at_least(0), start)
        end = sampling.where(both, (middle + 2).at_most(n), end)
        x = sampling.largest(x, axis, start, end)
    return x


# --- context


@rule(ASPP)
def _aspp(g: Graph, m: Any, x: Value) -> Any:
    found = [g.call(branch, x) for branch in m.convs]
    found[-1] = g.node("Expand", found[-1], g.node("Shape", found[0], dtype=INT, rank=1), rank=4)
    return g.call(m.project, cat(found))


@rule(SPPF)
def _sppf(g: Graph, m: Any, x: Value) -> Any:
    k = m.kernel_size
    found = [g.call(m.cv1, x)]
    for _ in range(3):
        found.append(max_pool(found[-1], (k, k), (1, 1), (k // 2, k // 2)))
    return g.call(m.cv2, cat(found))


@rule(PPM)
def _ppm(g: Graph, m: Any, x: Value) -> Any:
    return g.call(m.bottleneck, cat(_contexts(g, m, x)))


@rule(PyramidPooling)
def _pyramid_pooling(g: Graph, m: Any, x: Value) -> Any:
    return g.call(m.project, cat(_contexts(g, m, x)))


def _contexts(g: Graph, m: Any, x: Value) -> list[Value]:
    pooled = [g.call(reduce, adaptive_pool(x, (n, n), "avg")) for n, reduce in zip(m.pool_sizes, m.reductions, strict=True)]
    return [x, *(resize_like(y, x, "bilinear") for y in pooled)]


@rule(DAPPM)
def _dappm(g: Graph, m: Any, x: Value) -> Value:
    maps = [average_pool(x, (2 * n + 1,) * 2, (n, n), (n, n)) for n in (2, 4, 8)]
    maps.append(reduced(x, "Mean", (2, 3)))
    found = [g.call(m.scales[0], x)]
    for y, scale, process in zip(maps, m.scales[1:], m.processes, strict=True):
        found.append(g.call(process, resize_like(g.call(scale, y), x, "bilinear") + found[-1]))
    out: Value = g.call(m.compression, cat(found)) + g.call(m.shortcut, x)
    return out


@rule(UPerHead)
def _uper_head(g: Graph, m: Any, maps: Maps) -> Any:
    inner = g.call(m.context, maps[-1])
    levels = [inner]
    for i in reversed(range(len(maps) - 1)):
        lateral = g.call(m.laterals[i], maps[i])
        inner = lateral + resize_like(inner, lateral, "bilinear")
        levels.insert(0, g.call(m.smooths[i], inner))
    joined = cat([levels[0], *(resize_like(y, levels[0], "bilinear") for y in levels[1:])])
    return g.call(m.head, g.call(m.bottleneck, joined))


# --- pooling and fusion


@rule(MultiScalePooling)
def _multi_scale_pooling(_: Graph, m: Any, x: Value) -> Value:
    return cat([same_pool(x, n, m.pool_type) for n in m.pool_sizes])


@rule(SpatialPyramidPooling)
def _spatial_pyramid_pooling(_: Graph, m: Any, x: Value) -> Value:
    return cat([flattened(adaptive_pool(x, (1 << level,) * 2, m.pool_type), 1, -1) for level in range(m.num_levels)])


def _largest_size(maps: Maps) -> list[Value]:
    found = []
    for axis in (2, 3):
        largest, *others = (sampling.size(x, axis) for x in maps)
        for other in others:
            largest = largest.at_least(other)
        found.append(largest)
    return found


@rule(AttentionFusion)
def _attention_fusion(g: Graph, m: Any, maps: Maps) -> Value:
    size = _largest_size(maps)
    found = [sampling.resize(g.call(project, x), size) for project, x in zip(m.projections, maps, strict=True)]
    return weighted(found, [g.call(m.score, x) for x in found])


@rule(FeatureFusion, ScaleFusion)
def _feature_fusion(g: Graph, m: Any, maps: Maps) -> Any:
    if m.fusion_method == "attention":
        return g.call(m.attention, maps)
    size = _largest_size(maps)
    if m.fusion_method == "sum":
        return added([sampling.resize(g.call(project, x), size) for project, x in zip(m.projections, maps, strict=True)])
    found, start = [], 0
    for i, (x, channels) in enumerate(zip(maps, m.in_channels, strict=True)):
        weight = g.node("Slice", g.weight(m.project.weight), g.constant([start]), g.constant([start + channels]), g.constant([1]))
        bias = m.project.bias if i == 0 else None
        inputs = [x, weight] if bias is None else [x, weight, bias]
        found.append(sampling.resize(g.node("Conv", *inputs, kernel_shape=[1, 1]), size))
        start += channels
    return added(found)
