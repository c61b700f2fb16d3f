"""The architectures of the building blocks, drawn from modules that ran."""

from __future__ import annotations

from drawing import Box, Figure, sized

import neurenix as nx
from neurenix import multiscale as ms

SIDE = 224


def image(channels: int, side: int = SIDE) -> nx.Tensor:
    """An input."""
    return nx.Tensor(shape=(1, channels, side, side))


def unet_plus_plus() -> Figure:
    """Encoder on the left, every node right of it fed by its level and the one below."""
    model = ms.UNetPlusPlus(3, 1, [64, 128, 256], deep_supervision=True).eval()
    shapes: dict[str, tuple[int, ...]] = {}

    def watch(name: str) -> object:
        return lambda _module, _args, out: shapes.update({name: out.shape})

    for i, level in enumerate(model.encoder):
        level.register_forward_hook(watch(f"{i}_0"))
    for name, node in model.nodes.items():
        node.register_forward_hook(watch(name))
    x = image(3)
    with nx.no_grad():
        outputs = model(x)
    depth = len(model.features)
    columns = [[Box("x", "image", sized(x.shape), row=0)]]
    columns += [[Box(f"{i}_{j}", f"X[{i}, {j}]", sized(shapes[f"{i}_{j}"]), row=i) for i in range(depth + 1 - j)] for j in range(depth + 1)]
    columns += [[Box("y", "conv 1×1, sigmoid", sized(outputs[0].shape), "out", row=0)]]
    arrows = [("x", "0_0"), *((f"{i}_0", f"{i + 1}_0") for i in range(depth)), (f"0_{depth}", "y")]
    arrows += [(a, f"{i}_{j}") for j in range(1, depth + 1) for i in range(depth + 1 - j) for a in (f"{i}_{j - 1}", f"{i + 1}_{j - 1}")]
    return Figure(columns, arrows, "UNet++: a node sees all nodes before it on its level, and the one below")


def maps(channels: tuple[int, ...], side: int = 56) -> list[nx.Tensor]:
    """Maps of an encoder, each half as large as the one before."""
    return [image(c, side >> i) for i, c in enumerate(channels)]


def column(name: str, texts: list[str], tensors: list[nx.Tensor], kind: str = "map") -> list[Box]:
    """A box a level."""
    return [Box(f"{name}{i}", text, sized(t.shape), kind, row=i) for i, (text, t) in enumerate(zip(texts, tensors, strict=True))]


def feature_pyramid_network() -> Figure:
    """Laterals, sums from the coarsest down, smoothing."""
    xs = maps((64, 128, 256))
    pyramid = ms.FeaturePyramidNetwork([64, 128, 256], 128, ms.LastLevelMaxPool())
    with nx.no_grad():
        *ys, pool = pyramid(xs)
    columns = [
        column("x", ["map 0", "map 1", "map 2"], xs),
        [Box(f"l{i}", "conv 1×1", row=i, kind="op") for i in range(3)],
        column("m", ["sum", "sum", "top"], ys),
        [Box(f"s{i}", "conv 3×3", row=i, kind="op") for i in range(3)],
        [*column("y", [f"output {i}" for i in range(3)], ys, "out"), Box("y3", "pool", sized(pool.shape), "out", row=3)],
    ]
    arrows = [a for i in range(3) for a in ((f"x{i}", f"l{i}"), (f"l{i}", f"m{i}"), (f"m{i}", f"s{i}"), (f"s{i}", f"y{i}"))]
    return Figure(columns, [*arrows, ("m2", "m1"), ("m1", "m0"), ("y2", "y3")], "Feature pyramid network: sums from coarse to fine")


def path_aggregation() -> Figure:
    """A pyramid, and back up."""
    xs = maps((64, 128, 256))
    neck = ms.PANet([64, 128, 256], 128)
    with nx.no_grad():
        ps, ys = neck.pyramid(xs), neck(xs)
    columns = [
        column("x", ["map 0", "map 1", "map 2"], xs),
        column("p", ["P 0", "P 1", "P 2"], ps),
        column("y", ["output 0", "conv 3×3 of sum", "conv 3×3 of sum"], ys, "out"),
    ]
    arrows = [a for i in range(3) for a in ((f"x{i}", f"p{i}"), (f"p{i}", f"y{i}"))]
    return Figure(
        columns, [*arrows, ("p2", "p1"), ("p1", "p0"), ("y0", "y1"), ("y1", "y2")], "PANet: a feature pyramid, and a short way back up"
    )


def bifpn() -> Figure:
    """One layer, down and up."""
    xs = maps((64, 64, 64, 64))
    neck = ms.BiFPN([64] * 4, 64, 1).eval()
    with nx.no_grad():
        ys = neck(xs)
    columns = [
        column("p", [f"P {i}" for i in range(4)], xs),
        [Box(f"t{i}", f"T {i}", sized(xs[i].shape), row=i) for i in range(3)],
        column("q", [f"Q {i}" for i in range(4)], ys, "out"),
    ]
    arrows = [("p0", "t0"), ("p1", "t1"), ("p2", "t2"), ("p3", "t2"), ("t2", "t1"), ("t1", "t0"), ("t0", "q0"), ("t1", "q1"), ("t2", "q2")]
    return Figure(
        columns,
        [*arrows, ("p3", "q3"), ("q0", "q1"), ("q1", "q2"), ("q2", "q3")],
        "One layer of BiFPN: every arrow into a node has a weight",
    )


def branches(texts: list[str], x: nx.Tensor, inner: list[nx.Tensor], y: nx.Tensor, last: str, title: str) -> Figure:
    """Side by side, then together."""
    columns = [
        [Box("x", "map", sized(x.shape))],
        [Box(f"b{i}", text, sized(t.shape), "op") for i, (text, t) in enumerate(zip(texts, inner, strict=True))],
        [Box("y", last, sized(y.shape), "out")],
    ]
    return Figure(columns, [a for i in range(len(texts)) for a in (("x", f"b{i}"), (f"b{i}", "y"))], title)


def aspp() -> Figure:
    """Dilations and the average."""
    x, module = image(256, 28), ms.ASPP(256, [12, 24, 36], 64).eval()
    with nx.no_grad():
        inner, y = [conv(x) for conv in module.convs], module(x)
    texts = ["conv 1×1", *(f"conv 3×3, dilation {r}" for r in module.atrous_rates), "average, conv 1×1"]
    return branches(texts, x, inner, y, "concat, conv 1×1", "ASPP: convolutions of several dilations")


def uper_head() -> Figure:
    """Context, pyramid, all levels together."""
    xs = maps((64, 128, 256))
    head = ms.UPerHead([64, 128, 256], 19, 128).eval()
    with nx.no_grad():
        y, context = head(xs), head.context(xs[-1])
    levels = [image(128, x.shape[2]) for x in xs]
    columns = [
        column("x", ["map 0", "map 1", "map 2"], xs),
        column("m", ["conv 1×1, sum", "conv 1×1, sum", "pyramid pooling"], [*levels[:2], context]),
        [Box(f"s{i}", "conv 3×3", row=i, kind="op") for i in range(2)],
        [Box("c", "resized, concat", f"{3 * 128} @ 56 × 56", row=0)],
        [Box("y", "conv 3×3, conv 1×1", sized(y.shape), "out", row=0)],
    ]
    arrows = [("x0", "m0"), ("x1", "m1"), ("x2", "m2"), ("m2", "m1"), ("m1", "m0"), ("m0", "s0"), ("m1", "s1"), ("s0", "c"), ("s1", "c")]
    return Figure(columns, [*arrows, ("m2", "c"), ("c", "y")], "UPerHead: context of the coarsest map, a pyramid, all its levels together")


FIGURES = (unet_plus_plus, feature_pyramid_network, path_aggregation, bifpn, aspp, uper_head)
