"""Convolution layers on a GPU under each precision setting, beside PyTorch with cuDNN where that is installed: `python benches/cuda_conv.py`.

Not yet run on a GPU; `--device cpu` goes through the same motions without one. Times are those of device events around ten calls
in a row, whose inputs change, so that none is in the second-level cache; sides run in turn, medians count. The ceilings come
first: a copy of 256 MB, and cuBLAS on 4096 x 4096 in float32. Like is set beside like: "ieee" and "fast" beside cuDNN with TF32
off, "tf32" beside TF32 on, autocast beside bfloat16, all channels last. Results go to results/gpu_CARD.json.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import re
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from conv import LAYERS, arrays, machine, report, work

import neurenix as nx
from neurenix import autograd
from neurenix.nn import functional

CALLS, CACHE = 10, 256 << 20
PARTS = ("forward", "dx", "dw")
BESIDE = {"ieee": "cudnn", "fast": "cudnn", "tf32": "cudnn tf32", "bf16": "cudnn bf16"}
Side = dict[str, Callable[[int], object]]


class Clock:
    """Milliseconds of one of some calls in a row, by events of `library` on its current stream; by the host's clock without one."""

    def __init__(self, library: Any) -> None:
        self.library = library

    def __call__(self, run: Callable[[int], object]) -> float:
        if self.library is None:
            begin = time.perf_counter()
            for i in range(CALLS):
                run(i)
            return (time.perf_counter() - begin) * 1e3 / CALLS
        first, last = self._event(), self._event()
        first.record()
        for i in range(CALLS):
            run(i)
        last.record()
        last.synchronize()
        elapsed = first.elapsed_time(last) if self._is_torch else self.library.cuda.get_elapsed_time(first, last)
        return float(elapsed) / CALLS

    @property
    def _is_torch(self) -> bool:
        return bool(self.library.__name__ == "torch")

    def _event(self) -> Any:
        return self.library.cuda.Event(enable_timing=True) if self._is_torch else self.library.cuda.Event()


def medians(sides: dict[str, tuple[Clock, Callable[[int], object]]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each side, run in turn."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for clock, run in sides.values():
        clock(run)
    for _ in range(repeats):
        for name, (clock, run) in sides.items():
            times[name].append(clock(run))
    return {name: statistics.median(t) for name, t in times.items()}


@contextlib.contextmanager
def setting(name: str, device: str) -> Iterator[None]:
    """One of our ways to compute: a precision setting, or autocast."""
    context: Any = nx.autocast(device, dtype=nx.bfloat16) if name == "bf16" else nx.set_float32_precision(name)
    with context:
        yield


def ours(layer: tuple, name: str, device: str) -> Side:
    """Our layer's three runs on the i-th of some inputs."""
    x, w, options = arrays(layer)
    fn = functional.conv_transpose2d if layer[3] == "t" else functional.conv2d
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    inputs = [nx.tensor(last).to(device) for _ in range(copies(x, device))]
    weight = nx.tensor(w).to(device)

    def forward(i: int) -> object:
        with nx.no_grad(), setting(name, device):
            return fn(inputs[i % len(inputs)], weight, **options)

    def gradient(of_x: bool) -> Callable[[int], object]:
        with setting(name, device):
            graphs = []
            for x in inputs:
                a, b = x.detach().requires_grad_(of_x), weight.detach().requires_grad_(not of_x)
                graphs.append((fn(a, b, **options), a if of_x else b))
        g = nx.ones_like(graphs[0][0].detach())._array

        def run(i: int) -> object:
            y, leaf = graphs[i % len(graphs)]
            leaf.grad = None
            with setting(name, device):
                autograd.backward([(y, g)], retain_graph=True)
            return leaf.grad

        return run

    return {"forward": forward, "dx": gradient(True), "dw": gradient(False)}


def copies(x: np.ndarray, device: str) -> int:
    """Inputs in turn, more than a card's cache holds."""
    return 1 if device == "cpu" else max(2, min(16, CACHE // x.nbytes))


def cudnn(layer: tuple, tf32: bool, half: bool) -> Side:
    """The same in PyTorch."""
    import torch

    x, w, options = arrays(layer)
    fn = torch.nn.functional.conv_transpose2d if layer[3] == "t" else torch.nn.functional.conv2d
    kind = torch.bfloat16 if half else torch.float32
    place = {"device": "cuda", "dtype": kind, "memory_format": torch.channels_last}
    inputs, weight = [torch.from_numpy(x).to(**place) for _ in range(copies(x, "cuda"))], torch.from_numpy(w).to(**place)

    def gradient(of_x: bool) -> Callable[[int], object]:
        graphs = []
        for x in inputs:
            a, b = x.clone().requires_grad_(of_x), weight.clone().requires_grad_(not of_x)
            graphs.append((fn(a, b, **options), a if of_x else b))
        g = torch.ones_like(graphs[0][0])

        def run(i: int) -> object:
            torch.backends.cudnn.allow_tf32 = tf32
            y, leaf = graphs[i % len(graphs)]
            return torch.autograd.grad(y, leaf, g, retain_graph=True)

        return run

    def forward(i: int) -> object:
        torch.backends.cudnn.allow_tf32 = tf32
        with torch.no_grad():
            return fn(inputs[i % len(inputs)], weight, **options)

    return {"forward": forward, "dx": gradient(True), "dw": gradient(False)}


def ceilings(cupy: Any) -> dict[str, float]:
    """What the card reaches at most: bytes copied and float32 products a second."""
    clock, n = Clock(cupy), 4096
    source, target = (cupy.zeros(CACHE // 4, np.float32) for _ in range(2))
    a, b = (cupy.ones((n, n), np.float32) for _ in range(2))
    copy = medians({"copy": (clock, lambda _: cupy.copyto(target, source))}, 5)["copy"]
    product = medians({"product": (clock, lambda _: a @ b)}, 5)["product"]
    return {"copy_gbs": 2 * CACHE / copy / 1e6, "fma_gflops": 2 * n**3 / product / 1e6}


def peer() -> Any:
    """PyTorch, where it finds a GPU."""
    try:
        import torch
    except ImportError:
        return None
    torch.backends.cudnn.benchmark = True
    return torch if torch.cuda.is_available() else None


def row_of(name: str, device: str, cupy: Any, torch: Any, repeats: int) -> dict[str, Any]:
    """One layer's times, and how many times faster than PyTorch at the like setting."""
    layer, row = LAYERS[name], {"layer": name}
    sides = {s: (Clock(cupy), ours(layer, s, device)) for s in BESIDE}
    if torch is not None:
        theirs = {"cudnn": (False, False), "cudnn tf32": (True, False), "cudnn bf16": (True, True)}
        sides |= {s: (Clock(torch), cudnn(layer, *how)) for s, how in theirs.items()}
    for part in PARTS:
        times = medians({s: (clock, runs[part]) for s, (clock, runs) in sides.items()}, repeats)
        for side, ms in times.items():
            row[f"{part} {side} ms"] = ms
        for side, other in BESIDE.items():
            row[f"{part} {side} TFLOP/s"] = work(layer) / times[side] / 1e9
            if other in times:
                row[f"{part} {side} over PyTorch"] = times[other] / times[side]
    return row


def main() -> None:
    """Measure every layer and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    options = parser.parse_args()
    about, cupy, torch, card = machine(), None, None, ""
    if options.device == "cuda":
        nx.cuda.warm_up()
        cupy, torch, card = importlib.import_module("cupy"), peer(), nx.cuda.get_device_name()
        about |= ceilings(cupy) | {"card": card, "torch": getattr(torch, "__version__", "none")}
    rows = [row_of(name, options.device, cupy, torch, options.repeats) for name in LAYERS if options.only in name]
    if options.device == "cpu":
        print(*rows, sep="\n")
    else:
        report("gpu_" + re.sub(r"\W+", "_", card), rows, about)


if __name__ == "__main__":
    main()
