"""The architectures of the twelve classes, drawn from models that ran: every size in a figure was read off a tensor."""

from __future__ import annotations

from collections.abc import Callable

from drawing import Box, Figure, sized

import neurenix as nx
from neurenix import multiscale as ms
from neurenix.nn import Conv2d

CHANNELS, SIDE = 3, 224


def image(channels: int = CHANNELS, side: int = SIDE) -> nx.Tensor:
    """An input."""
    return nx.Tensor(shape=(1, channels, side, side))


def unet() -> Figure:
    """Down on the left, up on the right, skips across."""
    model = ms.UNet(in_channels=3, out_channels=1).eval()
    x = image()
    with nx.no_grad():
        y = model(x)
    *down, bottom = model.get_encoder_features()
    up = model.get_decoder_features()
    depth = len(down)
    columns = [
        [Box("x", "image", sized(x.shape), row=0)],
        [Box(f"d{i}", "2 × conv 3×3", sized(f.shape), row=i) for i, f in enumerate(down)],
        [Box("b", "bottleneck", sized(bottom.shape), row=depth)],
        [Box(f"u{i}", "up, concat, 2 × conv", sized(f.shape), row=i) for i, f in enumerate(up)],
        [Box("y", "conv 1×1, sigmoid", sized(y.shape), "out", row=0)],
    ]
    last = depth - 1
    arrows = [("x", "d0"), *((f"d{i}", f"d{i + 1}") for i in range(last)), (f"d{last}", "b"), ("b", f"u{last}"), ("u0", "y")]
    arrows += [(f"u{i}", f"u{i - 1}") for i in range(last, 0, -1)] + [(f"d{i}", f"u{i}") for i in range(depth)]
    return Figure(columns, arrows, "U-Net: max-pool 2 on the way down, transposed convolution on the way up")


def pyramid_network() -> Figure:
    """Bottom-up levels, laterals, top-down sum."""
    model = ms.PyramidNetwork(in_channels=3, out_channels=16, num_levels=4, base_channels=16).eval()
    x = image()
    with nx.no_grad():
        y = model(x)
    levels = model.get_features()
    rows = range(len(levels))
    columns = [
        [Box("x", "image", sized(x.shape), row=0)],
        [Box(f"f{i}", f"level {i}", sized(f.shape), row=i) for i, f in zip(rows, levels, strict=True)],
        [Box(f"l{i}", "lateral 1×1", row=i, kind="op") for i in rows],
        [Box(f"m{i}", "sum" if i < len(levels) - 1 else "top", f"{tuple(levels[i].shape[2:])}", row=i) for i in rows],
        [Box("s", "smooth 3×3", row=0, kind="op")],
        [Box("y", "conv 1×1", sized(y.shape), "out", row=0)],
    ]
    arrows = [("x", "f0"), *((f"f{i}", f"f{i + 1}") for i in rows[:-1]), *((f"f{i}", f"l{i}") for i in rows)]
    arrows += [*((f"l{i}", f"m{i}") for i in rows), *((f"m{i + 1}", f"m{i}") for i in rows[:-1]), ("m0", "s"), ("s", "y")]
    return Figure(columns, arrows, "Pyramid network: levels from fine to coarse, merged from coarse to fine")


def multi_scale_model() -> Figure:
    """One model at each scale."""
    base = Conv2d(3, 8, kernel_size=3, padding=1)
    scales = [1.0, 0.5, 0.25]
    model = ms.MultiScaleModel(scales=scales, base_model=base)
    x = image()
    with nx.no_grad():
        y = model(x)
        scaled = [ms.Rescale(s)(x) for s in scales]
        maps = [base(s) for s in scaled]
    each = range(len(scales))
    columns = [
        [Box("x", "image", sized(x.shape))],
        [Box(f"s{i}", f"scale {scales[i]}", sized(scaled[i].shape)) for i in each],
        [Box(f"b{i}", "base model (shared)", sized(maps[i].shape), "op") for i in each],
        [Box(f"r{i}", "resized", f"{maps[i].shape[1]} @ {y.shape[2]} × {y.shape[3]}") for i in each],
        [Box("y", "fuse: concat", sized(y.shape), "out")],
    ]
    arrows = [a for i in each for a in (("x", f"s{i}"), (f"s{i}", f"b{i}"), (f"b{i}", f"r{i}"), (f"r{i}", "y"))]
    return Figure(columns, arrows, "Multi-scale model: the same base model at every scale")


def multi_scale_pooling() -> Figure:
    """Windows of several sizes at stride 1."""
    sizes = [1, 2, 3, 6]
    x = image(64, 56)
    y = ms.MultiScalePooling(sizes)(x)
    columns = [
        [Box("x", "map", sized(x.shape))],
        [Box(f"p{k}", f"average {k}×{k}, stride 1", sized(x.shape), "op") for k in sizes],
        [Box("y", "concat", sized(y.shape), "out")],
    ]
    return Figure(columns, [a for k in sizes for a in (("x", f"p{k}"), (f"p{k}", "y"))], "Multi-scale pooling")


def pyramid_pooling() -> Figure:
    """Context in bins."""
    sizes = [1, 2, 3, 6]
    module = ms.PyramidPooling(64, 32, sizes).eval()
    x = image(64, 56)
    with nx.no_grad():
        y = module(x)
    width = 64 // len(sizes)
    columns = [
        [Box("x", "map", sized(x.shape))],
        [Box(f"p{k}", f"{k}×{k} bins", f"64 @ {k} × {k}") for k in sizes],
        [Box(f"c{k}", "conv 1×1, norm, relu", f"{width} @ {k} × {k}", "op") for k in sizes],
        [Box(f"r{k}", "resized", f"{width} @ 56 × 56") for k in sizes],
        [Box("cat", "concat with the map", f"{64 + width * len(sizes)} @ 56 × 56")],
        [Box("y", "project", sized(y.shape), "out")],
    ]
    arrows = [a for k in sizes for a in (("x", f"p{k}"), (f"p{k}", f"c{k}"), (f"c{k}", f"r{k}"), (f"r{k}", "cat"))]
    return Figure(columns, [*arrows, ("x", "cat"), ("cat", "y")], "Pyramid pooling: averages over coarse bins beside the map itself")


def spatial_pyramid_pooling() -> Figure:
    """A vector of fixed length."""
    x = image(64, 56)
    y = ms.SpatialPyramidPooling(3)(x)
    columns = [
        [Box("x", "map of any size", sized(x.shape))],
        [Box(f"p{b}", f"largest of {b}×{b} bins", f"64 × {b * b} values", "op") for b in (1, 2, 4)],
        [Box("y", "one vector", sized(y.shape), "vector")],
    ]
    return Figure(columns, [a for b in (1, 2, 4) for a in (("x", f"p{b}"), (f"p{b}", "y"))], "Spatial pyramid pooling")


def fusion_figure(module: Callable[[list[nx.Tensor]], nx.Tensor], maps: list[nx.Tensor], last: str, title: str) -> Figure:
    """Project, resize, join."""
    with nx.no_grad():
        y = module(maps)
    each = range(len(maps))
    columns = [
        [Box(f"x{i}", f"source {i}", sized(maps[i].shape)) for i in each],
        [Box(f"p{i}", "conv 1×1", f"{y.shape[1]} @ {maps[i].shape[2]} × {maps[i].shape[3]}", "op") for i in each],
        [Box(f"r{i}", "resized", f"{y.shape[1]} @ {y.shape[2]} × {y.shape[3]}") for i in each],
        [Box("y", last, sized(y.shape), "out")],
    ]
    return Figure(columns, [a for i in each for a in ((f"x{i}", f"p{i}"), (f"p{i}", f"r{i}"), (f"r{i}", "y"))], title)


def levels(channels: tuple[int, ...]) -> list[nx.Tensor]:
    """One map a level, each half as large as the one before."""
    return [image(c, 56 >> i) for i, c in enumerate(channels)]


def feature_fusion() -> Figure:
    """Sources of different channels and sizes."""
    return fusion_figure(ms.FeatureFusion([64, 128, 256], 32), levels((64, 128, 256)), "add the parts of 1×1", "Feature fusion: concat")


def attention_fusion() -> Figure:
    """Weights for each pixel."""
    module = ms.AttentionFusion([64, 128, 256], 32)
    return fusion_figure(module, levels((64, 128, 256)), "softmax-weighted sum", "Attention fusion: one weight a source and pixel")


def scale_fusion() -> Figure:
    """One feature a scale."""
    module = ms.ScaleFusion([1.0, 0.5, 0.25], 64, 32, "sum")
    return fusion_figure(module, levels((64, 64, 64)), "sum", "Scale fusion: sum")


def resizing(result: list[nx.Tensor], texts: list[str], title: str, chain: bool = False) -> Figure:
    """An image and what a transform makes of it."""
    x = image()
    each = range(len(result))
    if chain:
        columns = [[Box(f"y{i}", texts[i], sized(result[i].shape), "out" if i else "map")] for i in each]
        return Figure(columns, [(f"y{i}", f"y{i + 1}") for i in each[:-1]], title)
    columns = [[Box("x", "image", sized(x.shape))], [Box(f"y{i}", texts[i], sized(result[i].shape), "out") for i in each]]
    return Figure(columns, [("x", f"y{i}") for i in each], title)


def multi_scale_transform() -> Figure:
    """A list of sizes."""
    scales = [1.0, 0.5, 0.25]
    return resizing(ms.MultiScaleTransform(scales)(image()), [f"scale {s}" for s in scales], "Multi-scale transform")


def rescale() -> Figure:
    """There and back."""
    transform = ms.Rescale(0.5)
    small = transform(image())
    return resizing([image(), small, transform.inverse(small)], ["image", "forward", "inverse"], "Rescale", chain=True)


def pyramid_downsample() -> Figure:
    """Each level half of the one before."""
    return resizing(ms.PyramidDownsample(4)(image()), [f"level {i}" for i in range(4)], "Pyramid downsample", chain=True)


FIGURES = (
    unet,
    pyramid_network,
    multi_scale_model,
    multi_scale_pooling,
    pyramid_pooling,
    spatial_pyramid_pooling,
    feature_fusion,
    scale_fusion,
    attention_fusion,
    multi_scale_transform,
    rescale,
    pyramid_downsample,
)
