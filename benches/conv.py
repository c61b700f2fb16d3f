"""Convolution layers beside PyTorch, when it is installed: `python benches/conv.py [--only 3x3] [--repeats 7]`.

Forward, gradient of the input and gradient of the weight, each interleaved; PyTorch in both memory formats, the better
counts. GFLOP/s are direct ones, whatever algorithm runs.
"""

from __future__ import annotations

import argparse

from _harness import fair_environment, interleave, machine, report

fair_environment()

import numpy as np  # noqa: E402

import neurenix as nx  # noqa: E402
from neurenix import _rust, autograd  # noqa: E402
from neurenix.nn import functional  # noqa: E402

# name: channels in, out, size, kernel, stride, dilation, groups, batch; kernel "t" is the 2x2 transposed convolution
LAYERS = {
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
    "depthwise 256 56": (256, 256, 56, 3, 1, 1, 256, 1),
    "groups 256->256 56": (256, 256, 56, 3, 1, 1, 32, 1),
}


def arrays(layer: tuple) -> tuple[np.ndarray, np.ndarray, dict]:
    """Input, weight and keyword arguments that both libraries understand."""
    c, k, size, kernel, stride, dilation, groups, batch = layer
    random = np.random.default_rng(0)
    x = np.maximum(random.standard_normal((batch, c, size, size), dtype=np.float32), 0)
    if kernel == "t":
        return x, random.standard_normal((c, k, 2, 2), dtype=np.float32) / c, {"stride": 2}
    w = random.standard_normal((k, c // groups, kernel, kernel), dtype=np.float32) / (c * kernel * kernel) ** 0.5
    return x, w, {"stride": stride, "padding": dilation * (kernel // 2), "dilation": dilation, "groups": groups}


def ours(layer: tuple) -> dict:
    """Three runs of our layer, on maps as our layers make them."""
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
        with nx.no_grad():
            return fn(tx, tw, **options)

    return {"forward": forward, "dx": gradient(True), "dw": gradient(False)}


def torchs(layer: tuple, channels_last: bool) -> dict:
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
        with torch.no_grad():
            return fn(tx, tw, **options)

    return {"forward": forward, "dx": gradient(True), "dw": gradient(False)}


def work(layer: tuple) -> float:
    """Floating-point operations of one pass."""
    c, k, size, kernel, stride, _, groups, batch = layer
    pixels = batch * (size if kernel == "t" else -(-size // stride)) ** 2
    return 2.0 * pixels * c * k * (4 if kernel == "t" else kernel * kernel) / groups


def main() -> None:
    """Measure every layer and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    try:
        import torch
    except ImportError:
        torch = None
    else:
        torch.set_num_threads(_rust.num_threads())
    rows = []
    for name, layer in LAYERS.items():
        if options.only not in name:
            continue
        row: dict = {"layer": name}
        sides = {"ours": ours(layer)} | ({"nchw": torchs(layer, False), "last": torchs(layer, True)} if torch else {})
        for part in ("forward", "dx", "dw"):
            times = interleave({side: runs[part] for side, runs in sides.items()}, options.repeats)
            row[f"{part} ms"], row[f"{part} GFLOP/s"] = times["ours"] * 1e3, work(layer) / times["ours"] / 1e9
            if torch:
                row[f"{part} over PyTorch"] = min(times["nchw"], times["last"]) / times["ours"]
        rows.append(row)
        print(name, {k: round(v, 2) for k, v in row.items() if k != "layer"}, flush=True)
    report("conv", rows, machine())


if __name__ == "__main__":
    main()
