"""How the U-Nets, the pyramid network, the model over scales and the encoders become operators of ONNX: each follows its ``forward``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from neurenix.export import sampling
from neurenix.export.functions import activate, added, cat, half, reduced, relu, same_pool, softmax, transposed
from neurenix.export.graph import Graph, Value, rule
from neurenix.export.layers import layer_norm
from neurenix.export.sampling import resize_like
from neurenix.multiscale import (
    AttentionGate,
    BlurPool,
    ConvNeXtEncoder,
    MultiScaleModel,
    PlainConvEncoder,
    PyramidNetwork,
    ResidualBlock,
    ResNetEncoder,
    SqueezeExcitation,
    UNet,
    UNetPlusPlus,
)
from neurenix.multiscale._blocks import Level
from neurenix.multiscale.blur import MaxBlurPool
from neurenix.multiscale.convnext import Block, ChannelNorm, PatchConv
from neurenix.multiscale.residual import SqueezedLevel
from neurenix.multiscale.resnet import BasicBlock, Bottleneck

# --- blocks


@rule(Level)
def _level(g: Graph, m: Any, x: Value) -> Any:
    return g.call(m.second, g.call(m.first, x))


@rule(SqueezedLevel)
def _squeezed_level(g: Graph, m: Any, x: Value) -> Any:
    return g.call(m.squeeze, _level(g, m, x))


@rule(SqueezeExcitation)
def _squeeze_excitation(g: Graph, m: Any, x: Value) -> Value:
    return x * g.node("Sigmoid", g.call(m.fc2, relu(g.call(m.fc1, reduced(x, "Mean", (2, 3))))))


@rule(ResidualBlock)
def _residual_block(g: Graph, m: Any, x: Value) -> Value:
    y = g.call(m.second, g.call(m.first, x))
    y = g.call(m.squeeze, y) if m.squeeze_excitation else y
    return relu(y + g.call(m.shortcut, x))


@rule(AttentionGate)
def _attention_gate(g: Graph, m: Any, x: Value, gate: Value) -> Value:
    signal = resize_like(g.call(m.phi, gate), x, "bilinear")
    return g.node("Sigmoid", g.call(m.psi, relu(g.call(m.theta, x) + signal))) * x


@rule(BlurPool)
def _blur_pool(g: Graph, m: Any, x: Value) -> Value:
    before, after = (m.kernel_size - 1) // 2, m.kernel_size // 2
    for axis in (2, 3):
        n = sampling.size(x, axis)
        reflected, repeated = (sampling.border(n, before, after, mode) for mode in ("reflect", "replicate"))
        x = sampling.gather(x, sampling.where(n.ask("Greater", after), reflected, repeated), axis)
    settings = {"kernel_shape": [m.kernel_size] * 2, "strides": [m.stride] * 2, "group": m.channels}
    return g.node("Conv", x, m.filter, **settings)


@rule(MaxBlurPool)
def _max_blur_pool(g: Graph, m: Any, x: Value) -> Any:
    return g.call(m.blur, same_pool(x, 2, "max"))


# --- U-Nets


def _outputs(g: Graph, m: Any, maps: Sequence[Value], heads: Sequence[Any], like: Value) -> list[Value]:
    logits = [g.call(head, y) for y, head in zip(maps, heads, strict=True)]
    whole = 1 if hasattr(m, "bottleneck") else 0  # the finest level of our own encoder has the image's size
    logits[whole:] = [resize_like(z, like, "bilinear") for z in logits[whole:]]
    return [activate(z, m.final_activation) for z in logits]


@rule(UNet)
def _unet(g: Graph, m: Any, x: Value) -> Any:
    encoded = _encoded(g, m, x)
    finer = len(m.features) + 1 - len(encoded)
    skips = [*[None] * finer, *encoded]
    like = [[(s + (prod(m.steps[:i]) - 1)) // prod(m.steps[:i]) for s in sampling.sizes(x)] for i in range(finer)]
    like += [sampling.sizes(skip) for skip in encoded]
    decoded, y = list[Value](), encoded[-1]
    for i in reversed(range(len(m.features))):
        y = _decoded(g, m, i, y, skips[i], like[i])
        decoded.insert(0, y)
    heads = [m.head, *m.heads] if m.deep_supervision else [m.head]
    found = _outputs(g, m, decoded[: len(heads)], heads, x)
    return found if m.deep_supervision else found[0]


def _encoded(g: Graph, m: Any, x: Value) -> list[Value]:
    if not hasattr(m, "bottleneck"):
        return list(g.call(m.encoder, x))
    found: list[Value] = []
    for i, level in enumerate([*m.encoder, m.bottleneck]):
        if i > 0:
            x = half(x) if m.downsample == "max" else g.call(m.pools[i - 1], x)
        x = g.call(level, x)
        found.append(x)
    return found


def _decoded(g: Graph, m: Any, i: int, x: Value, skip: Value | None, like: Sequence[Value]) -> Any:
    up = g.call(m.ups[i], x)
    up = sampling.crop(up, like) if hasattr(m, "bottleneck") else sampling.fitted(up, like)
    if skip is not None:
        up = cat([g.call(m.gates[i], skip, x) if m.attention else skip, up])
    return g.call(m.decoder[i], up)


@rule(UNetPlusPlus)
def _unet_plus_plus(g: Graph, m: Any, x: Value) -> Any:
    depth, rows = len(m.features), []
    for i, level in enumerate(m.encoder):
        x = g.call(level, x if i == 0 else half(x))
        rows.append([x])
    for j in range(1, depth + 1):
        for i in range(depth + 1 - j):
            up = sampling.crop(g.call(m.ups[f"{i}_{j}"], rows[i + 1][j - 1]), sampling.sizes(rows[i][0]))
            rows[i].append(g.call(m.nodes[f"{i}_{j}"], cat([*rows[i], up])))
    found = [activate(g.call(head, y), m.final_activation) for y, head in zip(rows[0][: -len(m.heads) - 1 : -1], m.heads, strict=True)]
    return found if m.deep_supervision else found[0]


# --- other models


@rule(PyramidNetwork)
def _pyramid_network(g: Graph, m: Any, x: Value) -> Value:
    found: list[Value] = []
    for i, level in enumerate(m.levels):
        x = g.call(level, x if i == 0 else half(x))
        found.append(x)
    merged = g.call(m.laterals[-1], found[-1])
    for i in reversed(range(len(found) - 1)):
        lateral = g.call(m.laterals[i], found[i])
        merged = lateral + resize_like(merged, lateral)
    return activate(g.call(m.head, g.call(m.smooth, merged)), m.final_activation)


@rule(MultiScaleModel)
def _multi_scale_model(g: Graph, m: Any, x: Value) -> Value:
    outs = []
    for scale in m.scales:
        size = [sampling.scaled(n, scale) for n in sampling.sizes(x)]
        at = x if scale == 1 else sampling.resize(x, size, "bilinear", antialias=m.antialias)
        outs.append(at if m.base_model is None else g.call(m.base_model, at))
    if len(outs) > 1 and outs[0].rank == 4:
        top = outs[max(range(len(outs)), key=m.scales.__getitem__)]
        outs = [o if o is top else resize_like(o, top, "bilinear") for o in outs]
    return activate(_fused(g, m, outs), m.final_activation)


def _fused(g: Graph, m: Any, outs: list[Value]) -> Value:
    if len(outs) == 1:
        return outs[0]
    if m.fusion_method != "attention":
        return cat(outs) if m.fusion_method == "concat" else added(outs)
    maps = [o if o.rank == 4 else sampling.reshape(o, [0, 0, 1, 1]) for o in outs]
    fused = weighted(maps, [g.call(m.score, cat([reduced(o, how, (1,)) for how in ("Mean", "Max")])) for o in maps])
    return fused if outs[0].rank == 4 else sampling.reshape(fused, [0, -1])


def weighted(maps: Sequence[Value], scores: Sequence[Value]) -> Value:
    """The sum of maps, each pixel by its softmax over the scores."""
    if len(maps) == 1:
        return maps[0]
    weights = softmax(cat(scores), 1)
    return added([o * sampling.part(weights, 1, i, i + 1) for i, o in enumerate(maps)])


# --- encoders


@rule(BasicBlock, Bottleneck)
def _resnet_block(g: Graph, m: Any, x: Value) -> Value:
    y, count = x, 3 if isinstance(m, Bottleneck) else 2
    for i in range(1, count + 1):
        y = g.call(getattr(m, f"bn{i}"), g.call(getattr(m, f"conv{i}"), y))
        y = relu(y) if i < count else y
    return relu(y + (x if m.downsample is None else g.call(m.downsample, x)))


@rule(ResNetEncoder)
def _resnet(g: Graph, m: Any, x: Value) -> list[Value]:
    x = relu(g.call(m.bn1, g.call(m.conv1, x)))
    found = [x]
    for i in range(1, m.out_indices[-1] + 1):
        x = g.call(getattr(m, f"layer{i}"), g.call(m.maxpool, x) if i == 1 else x)
        found.append(x)
    return [found[i] for i in m.out_indices]


@rule(PlainConvEncoder)
def _plain_encoder(g: Graph, m: Any, x: Value) -> list[Value]:
    found = []
    for i in range(m.out_indices[-1] + 1):
        x = g.call(m.stages[i], x)
        found.append(x)
    return [found[i] for i in m.out_indices]


@rule(PatchConv)
def _patch_conv(g: Graph, m: Any, x: Value) -> Value:
    size, zero = m.kernel_size[0], g.constant([0])
    more = [(size - 1) - (n + (size - 1)) % size for n in sampling.sizes(x)]
    x = g.node("Pad", x, cat([zero, zero, zero, zero, zero, zero, *more], 0), g.constant(0.0), mode="constant")
    return g.node("Conv", *([x, m.weight] if m.bias is None else [x, m.weight, m.bias]), strides=[size] * 2, kernel_shape=[size] * 2)


@rule(ChannelNorm)
def _channel_norm(g: Graph, m: Any, x: Value) -> Value:
    return transposed(layer_norm(g, m, transposed(x, 0, 2, 3, 1)), 0, 3, 1, 2)


@rule(Block)
def _convnext_block(g: Graph, m: Any, x: Value) -> Value:
    y = transposed(g.call(m.block["0"], x), 0, 2, 3, 1)
    for name in ("2", "3", "4", "5"):
        y = g.call(m.block[name], y)
    scale = g.node("Reshape", g.weight(m.layer_scale), g.constant([-1]), rank=1)
    return x + transposed(y * scale, 0, 3, 1, 2)


@rule(ConvNeXtEncoder)
def _convnext(g: Graph, m: Any, x: Value) -> list[Value]:
    found = []
    for i in range(m.out_indices[-1] + 1):
        x = g.call(m.features[2 * i + 1], g.call(m.features[2 * i], x))
        found.append(x)
    return [found[i] for i in m.out_indices]
