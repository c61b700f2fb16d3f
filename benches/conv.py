"""Convolution layers beside PyTorch and the engines that are installed: `python benches/conv.py [--only 3x3] [--repeats 7]`.

Forward, gradient of the input and gradient of the weight, interleaved; PyTorch in both memory formats. 3x3 layers also beside engines
that only infer: from 64 channels up a network of one layer, with 16 and 32 channels one of four, so that an engine's change of
layout at its ends counts little (ncnn keeps its own layout at both ends of one layer). GFLOP/s are direct ones, whatever algorithm
runs. Errors are those of forward passes against float64.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _harness import compare, fair_environment, interleave, machine, report

fair_environment()

import numpy as np  # noqa: E402
from _engines import ENGINES, by_ncnn_packed  # noqa: E402
from _peers import attempt, error_of, torch_threads, try_side, versions, write_layers  # noqa: E402

import neurenix as nx  # noqa: E402
from neurenix import autograd  # noqa: E402
from neurenix.nn import functional  # noqa: E402

# name: channels in, out, size, kernel, stride, dilation, groups, batch; kernel "t" is the 2x2 transposed convolution
LAYERS = {
    "3x3 1->64 256": (1, 64, 256, 3, 1, 1, 1, 1),
    "3x3 3->64 256": (3, 64, 256, 3, 1, 1, 1, 1),
    "3x3 64->64 256": (64, 64, 256, 3, 1, 1, 1, 1),
    "3x3 64->128 128": (64, 128, 128, 3, 1, 1, 1, 1),
    "3x3 128->128 128": (128, 128, 128, 3, 1, 1, 1, 1),
    "3x3 256->256 64": (256, 256, 64, 3, 1, 1, 1, 1),
    "3x3 512->512 32": (512, 512, 32, 3, 1, 1, 1, 1),
    "3x3 1024->1024 16": (1024, 1024, 16, 3, 1, 1, 1, 1),
    "3x3 1024->512 32": (1024, 512, 32, 3, 1, 1, 1, 1),
    "3x3 128->64 256": (128, 64, 256, 3, 1, 1, 1, 1),
    "narrow 16->16 256": (16, 16, 256, 3, 1, 1, 1, 4),
    "narrow 32->32 128": (32, 32, 128, 3, 1, 1, 1, 4),
    "transposed 128->64 128": (128, 64, 128, "t", 2, 1, 1, 1),
    "transposed 1024->512 16": (1024, 512, 16, "t", 2, 1, 1, 1),
    "1x1 256->64 64": (256, 64, 64, 1, 1, 1, 1, 1),
    "1x1 64->1 256": (64, 1, 256, 1, 1, 1, 1, 1),
    "7x7 3->64 224 stride 2": (3, 64, 224, 7, 2, 1, 1, 1),
    "3x3 64->128 128 stride 2": (64, 128, 128, 3, 2, 1, 1, 1),
    "3x3 256->256 33 dilation 12": (256, 256, 33, 3, 1, 12, 1, 1),
    "3x3 64->1 256": (64, 1, 256, 3, 1, 1, 1, 1),
    "1x1 512->3 64": (512, 3, 64, 1, 1, 1, 1, 1),
    "5x5 64->64 64": (64, 64, 64, 5, 1, 1, 1, 1),
    "transposed 32->16 128": (32, 16, 128, "t", 2, 1, 1, 4),
    "depthwise 256 56": (256, 256, 56, 3, 1, 1, 256, 1),
    "depthwise 7x7 64 56": (64, 64, 56, 7, 1, 1, 64, 1),
    "depthwise 32 112 stride 2": (32, 32, 112, 3, 2, 1, 32, 1),
    "groups 256->256 56": (256, 256, 56, 3, 1, 1, 32, 1),
}
ONE_LAYER = ("ncnn", "MNN", "MNN, exact")  # beside layers of many channels; the others are behind PyTorch or on its level there


def kind(layer: tuple) -> str:
    """Wide and narrow 3x3 layers at stride 1, and the rest."""
    plain = layer[3:7] == (3, 1, 1, 1)
    return "other" if not plain or min(layer[:2]) < 16 else "wide" if min(layer[:2]) >= 64 else "narrow"


def arrays(layer: tuple) -> tuple[np.ndarray, np.ndarray, dict]:
    """Input, weight and keyword arguments that both libraries understand."""
    c, k, size, kernel, stride, dilation, groups, batch = layer
    random = np.random.default_rng(0)
    x = np.maximum(random.standard_normal((batch, c, size, size), dtype=np.float32), 0)
    if kernel == "t":
        return x, random.standard_normal((c, k, 2, 2), dtype=np.float32) / c, {"stride": 2}
    w = random.standard_normal((k, c // groups, kernel, kernel), dtype=np.float32) / (c * kernel * kernel) ** 0.5
    return x, w, {"stride": stride, "padding": dilation * (kernel // 2), "dilation": dilation, "groups": groups}


def ours(layer: tuple, depth: int = 1) -> dict:
    """Three runs of our layer, on maps as our layers make them; ``depth`` times one after the other forward."""
    x, w, options = arrays(layer)
    fn = functional.conv_transpose2d if layer[3] == "t" else functional.conv2d
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    tx, tw = nx.tensor(last), nx.tensor(w)

    def gradient(of_x: bool):
        a, b = nx.tensor(last, requires_grad=of_x), nx.tensor(w, requires_grad=not of_x)
        y = fn(a, b, **options)
        g = nx.tensor(y.numpy())._array
        b.requires_grad_()  # as a weight that trains: its layouts are not kept

        def run():
            a.grad = b.grad = None
            autograd.backward([(y, g)], retain_graph=True)

        return run

    def forward():
        y = tx
        with nx.no_grad():
            for _ in range(depth):
                y = fn(y, tw, **options)
        return y

    return {"forward": forward, "dx": gradient(True), "dw": gradient(False)}


def torchs(layer: tuple, channels_last: bool, depth: int = 1) -> dict:
    """The same in PyTorch."""
    import torch

    x, w, options = arrays(layer)
    fn = torch.nn.functional.conv_transpose2d if layer[3] == "t" else torch.nn.functional.conv2d
    memory = torch.channels_last if channels_last else torch.contiguous_format
    tx, tw = (torch.from_numpy(a.copy()).contiguous(memory_format=memory) for a in (x, w))

    def gradient(of_x: bool):
        a, b = tx.clone().requires_grad_(of_x), tw.clone().requires_grad_(not of_x)
        y = fn(a, b, **options)
        g = y.detach().clone()
        return lambda: torch.autograd.grad(y, a if of_x else b, g, retain_graph=True)

    def forward():
        y = tx
        with torch.no_grad():
            for _ in range(depth):
                y = fn(y, tw, **options)
        return y

    return {"forward": forward, "dx": gradient(True), "dw": gradient(False)}


def engines(layer: tuple, depth: int, path: Path) -> dict[str, Callable[[], Any]]:
    """The forward pass of engines that are installed, from a file that is written there."""
    x, w, _ = arrays(layer)
    threads, found = nx.get_num_threads(), {}
    names = {"wide": ONE_LAYER, "narrow": ENGINES, "other": ()}[kind(layer)]
    if names and attempt("engines", lambda: write_layers(path, x, w, depth)):
        for name in names:
            try_side(found, name, lambda name=name: ENGINES[name](path, x, threads))
    return found


def exact(layer: tuple, depth: int) -> np.ndarray:
    """The forward pass in float64."""
    x, w, options = arrays(layer)
    y, w = nx.tensor(x.astype(np.float64)), nx.tensor(w.astype(np.float64))
    fn = functional.conv_transpose2d if layer[3] == "t" else functional.conv2d
    with nx.no_grad():
        for _ in range(depth):
            y = fn(y, w, **options)
    return y.numpy()


def forwards(layer: tuple, depth: int, both: dict[str, dict]) -> tuple[dict[str, Callable[[], Any]], dict[str, float]]:
    """Every side's forward pass, and its error."""
    sides, right = {name: runs["forward"] for name, runs in both.items()}, exact(layer, depth)
    errors = {name: error_of(run().numpy(), right) for name, run in sides.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layers.onnx"
        found = engines(layer, depth, path)
        errors |= {name: error_of(run(), right) for name, run in found.items()}
        if "ncnn" in found and kind(layer) == "wide":
            found["ncnn"] = by_ncnn_packed(path, arrays(layer)[0], nx.get_num_threads())
    return sides | found, errors


def work(layer: tuple) -> float:
    """Floating-point operations of one pass."""
    c, k, size, kernel, stride, _, groups, batch = layer
    pixels = batch * (size if kernel == "t" else -(-size // stride)) ** 2
    return 2.0 * pixels * c * k * (4 if kernel == "t" else kernel * kernel) / groups


def measure(name: str, repeats: int) -> list[dict]:
    """A layer's rows: each part and side."""
    layer = LAYERS[name]
    depth = 4 if kind(layer) == "narrow" else 1
    both = {"neurenix": ours(layer, depth)}
    for side, last in (("PyTorch", False), ("PyTorch channels last", True)):
        runs = attempt(side, lambda last=last: torchs(layer, last, depth))
        both |= {side: runs} if runs else {}
    rows = []
    for part in ("forward", "dw") if layer[0] in (1, 3) else ("forward", "dx", "dw"):  # nothing wants the gradient of an image
        sides, errors = forwards(layer, depth, both) if part == "forward" else ({side: runs[part] for side, runs in both.items()}, {})
        deep = depth if part == "forward" else 1
        times = interleave(sides, repeats, times=deep)
        speed = {side: work(layer) / t / 1e9 for side, t in times.items()}
        rows += [{"kind": kind(layer), "part": part} | row for row in compare(name, times, **{"GFLOP/s": speed, "error": errors})]
    return rows


def main() -> None:
    """Measure every layer and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch_threads(nx.get_num_threads())
    about, rows = machine() | {"versions": versions()}, []
    for name in LAYERS:
        if options.only not in name:
            continue
        print(name, flush=True)
        rows += measure(name, options.repeats)
    report("conv", rows, about)


if __name__ == "__main__":
    main()
