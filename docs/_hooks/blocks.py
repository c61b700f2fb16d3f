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
    columns += [[Box("y", f"{len(outputs)} × conv 1×1, sigmoid", sized(outputs[0].shape), "out", row=0)]]
    arrows = [("x", "0_0"), *((f"{i}_0", f"{i + 1}_0") for i in range(depth)), (f"0_{depth}", "y")]
    arrows += [(a, f"{i}_{j}") for j in range(1, depth + 1) for i in range(depth + 1 - j) for a in (f"{i}_{j - 1}", f"{i + 1}_{j - 1}")]
    return Figure(columns, arrows, "UNet++: a node sees all nodes before it on its level, and the one below")


FIGURES = (unet_plus_plus,)
