"""Operations that are bound by memory beside PyTorch and OpenCV: `python benches/memory.py [--only resize] [--repeats 7]`.

Forward and backward, interleaved. PyTorch runs in both memory orders, and into given memory (`out=`) where it can: most of the time
of a large fresh result is page faults, which our pool of blocks spares, so that form counts too. OpenCV resizes plane by plane. Ours
runs on maps as our layers make them, channels last, on images as users have them, as planes. Backward is one operation's rule, into
new memory, on both sides. The bytes that must be read and written at least stand beside each time, as GB/s and as a share of what a
copy reaches on the machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

from _harness import compare, fair_environment, interleave, machine, report

fair_environment()

import numpy as np  # noqa: E402
from _peers import attempt, installed, torch_threads, try_side, versions  # noqa: E402

import neurenix as nx  # noqa: E402
from neurenix import layout, ops  # noqa: E402
from neurenix.nn import functional as F  # noqa: E402

Sides = dict[str, Callable[[], object]]
RANDOM = np.random.default_rng(0)


class Case(NamedTuple):
    """An operation: in both libraries, on which arrays, and the bytes that it must move."""

    ours: Callable[..., Any]
    theirs: Callable[..., Any]  # the first argument is torch.nn.functional
    arrays: Callable[[], list[np.ndarray]]
    moved: Callable[[int, int], tuple[int, int]]  # from bytes of inputs and output: forward, backward (0: not measured)
    last: bool | None = True  # whether ours lies channels last; None: no map does, on either side
    given: Callable[..., Callable[[], Any]] | None = None  # PyTorch's form into given memory
    opencv: str = ""  # the name of OpenCV's interpolation


def numbers(*shape: int) -> np.ndarray:
    """Normal float32 numbers."""
    return RANDOM.standard_normal(shape, dtype=np.float32)


def resized(size: int, mode: str, antialias: bool = False, opencv: str = "", *shape: int, last: bool = True) -> Case:
    """Resizing to a square."""
    smooth = {"align_corners": False, "antialias": antialias} if mode in ("bilinear", "bicubic") else {}
    return Case(
        lambda x: F.interpolate(x, size=size, mode=mode, **smooth),
        lambda t, x: t.interpolate(x, size=(size, size), mode=mode, **smooth),
        lambda: [numbers(*shape)],
        lambda x, y: (x + y, x + y),
        last,
        opencv=opencv,
    )


def pooled(ours: Callable[[Any, Any], Any], *shape: int) -> Case:
    """An operation of one map that both libraries call the same."""
    return Case(lambda x: ours(F, x), ours, lambda: [numbers(*shape)], lambda x, y: (x + y, x + y))


def bins(pool: Callable[..., Any], x: Any, join: Callable[..., Any]) -> Any:
    """Averages over grids of 1, 2, 3 and 6 bins, one vector a channel."""
    return join([y.reshape(*x.shape[:2], -1) for y in pool(x, (1, 2, 3, 6))], 2)


def pyramid(t: Any, x: Any, join: Callable[..., Any]) -> Any:
    """Stride-1 maxima of 5, 9 and 13 pixels beside the map."""
    return join([x, *(t.max_pool2d(x, k, 1, k // 2) for k in (5, 9, 13))], 1)


def torch_cat(parts: list[Any], dim: int) -> Any:
    """PyTorch's concatenation."""
    import torch

    return torch.cat(parts, dim)


def into(name: str) -> Callable[..., Callable[[], Any]]:
    """PyTorch's function of this name, into given memory."""
    import importlib

    def build(*inputs: Any) -> Callable[[], Any]:
        function = getattr(importlib.import_module("torch"), name)
        out = function(*inputs)
        return lambda: function(*inputs, out=out)

    return build


def normalised(ours: Callable[..., Any], theirs: Callable[..., Any], *shape: int, c: int = 64) -> Case:
    """A normalisation with weight and bias: a map is read twice and written; backward two maps are."""
    arrays = lambda: [numbers(*shape), numbers(c), numbers(c)]  # noqa: E731
    return Case(ours, theirs, arrays, lambda x, y: (2 * x + y, 4 * x + y))


def entropy(classes: int) -> Case:
    """Cross entropy of two maps of 256x256."""
    arrays = lambda: [numbers(2, classes, 256, 256), RANDOM.integers(0, classes, (2, 256, 256))]  # noqa: E731
    theirs = lambda t, x, labels: t.cross_entropy(x, labels)  # noqa: E731
    return Case(F.cross_entropy, theirs, arrays, lambda x, _: (x, 2 * x), last=False)


def lovasz(_: Any, x: Any, labels: Any) -> Any:
    """The Lovász softmax of the classes that occur, as its authors wrote it in PyTorch: a sort and a cumulative sum a class."""
    import torch

    p, losses = torch.softmax(x, 1).movedim(1, -1).reshape(-1, x.shape[1]), []
    for c in range(x.shape[1]):
        true = (labels.reshape(-1) == c).to(p.dtype)
        errors, order = torch.sort((true - p[:, c]).abs(), descending=True)
        found = true[order]
        jaccard = 1 - (true.sum() - found.cumsum(0)) / (true.sum() + (1 - found).cumsum(0))
        losses.append((errors * torch.cat([jaccard[:1], jaccard.diff()])).sum())
    return torch.stack(losses).mean()


BIG, MAP = 1 << 24, (4, 64, 128, 128)
CASES: dict[str, Case] = {
    "resize bilinear 8x3x512x512 to 256": resized(256, "bilinear", False, "INTER_LINEAR", 8, 3, 512, 512, last=False),
    "resize bilinear antialias 8x3x512x512 to 256": resized(256, "bilinear", True, "", 8, 3, 512, 512, last=False),
    "resize bicubic 8x3x512x512 to 256": resized(256, "bicubic", False, "INTER_CUBIC", 8, 3, 512, 512, last=False),
    "resize area 8x3x512x512 to 256": resized(256, "area", False, "INTER_AREA", 8, 3, 512, 512, last=False),
    "resize nearest 8x3x512x512 to 256": resized(256, "nearest", False, "INTER_NEAREST", 8, 3, 512, 512, last=False),
    "resize bilinear 64x112x112 to 224": resized(224, "bilinear", False, "INTER_LINEAR", 1, 64, 112, 112),
    "resize bilinear antialias 64x224x224 to 112": resized(112, "bilinear", True, "", 1, 64, 224, 224),
    "resize bicubic 64x112x112 to 224": resized(224, "bicubic", False, "INTER_CUBIC", 1, 64, 112, 112),
    "resize nearest 64x112x112 to 224": resized(224, "nearest", False, "INTER_NEAREST", 1, 64, 112, 112),
    "max pool 2x2 64x256x256": pooled(lambda t, x: t.max_pool2d(x, 2), 1, 64, 256, 256),
    "average pool 2x2 64x256x256": pooled(lambda t, x: t.avg_pool2d(x, 2), 1, 64, 256, 256),
    "stride-1 max pool 5 256x64x64": pooled(lambda t, x: t.max_pool2d(x, 5, 1, 2), 1, 256, 64, 64),
    "stride-1 max pool 9 256x64x64": pooled(lambda t, x: t.max_pool2d(x, 9, 1, 4), 1, 256, 64, 64),
    "stride-1 max pool 13 256x64x64": pooled(lambda t, x: t.max_pool2d(x, 13, 1, 6), 1, 256, 64, 64),
    "SPP 5, 9, 13 256x64x64": Case(
        lambda x: pyramid(F, x, nx.cat), lambda t, x: pyramid(t, x, torch_cat), lambda: [numbers(1, 256, 64, 64)], lambda x, y: (x + y, 0)
    ),
    "adaptive averages 1, 2, 3, 6 2x512x60x60": Case(
        lambda x: bins(ops.pyramid_averages2d, x, nx.cat),
        lambda t, x: bins(lambda x, sizes: [t.adaptive_avg_pool2d(x, k) for k in sizes], x, torch_cat),
        lambda: [numbers(2, 512, 60, 60)],
        lambda x, y: (x + y, 0),
    ),
    "adaptive average 6 2x512x60x60": pooled(lambda t, x: t.adaptive_avg_pool2d(x, 6), 2, 512, 60, 60),
    "batch norm and ReLU 4x64x128x128": normalised(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, relu=True),
        lambda t, x, w, b: t.relu(t.batch_norm(x, None, None, w, b, training=True)),
        *MAP,
    ),
    "group norm 4x64x128x128": normalised(lambda x, w, b: F.group_norm(x, 8, w, b), lambda t, x, w, b: t.group_norm(x, 8, w, b), *MAP),
    "instance norm 4x64x128x128": normalised(
        lambda x, w, b: F.instance_norm(x, weight=w, bias=b), lambda t, x, w, b: t.instance_norm(x, weight=w, bias=b), *MAP
    ),
    "layer norm 65536x96": normalised(
        lambda x, w, b: F.layer_norm(x, 96, w, b), lambda t, x, w, b: t.layer_norm(x, (96,), w, b), 65536, 96, c=96
    ),
    "softmax over 21 channels 2x256x256": Case(
        lambda x: F.softmax(x, 1), lambda t, x: t.softmax(x, 1), lambda: [numbers(2, 21, 256, 256)], lambda x, y: (x + y, 3 * x), False
    ),
    "softmax over 4 channels 2x256x256": Case(
        lambda x: F.softmax(x, 1), lambda t, x: t.softmax(x, 1), lambda: [numbers(2, 4, 256, 256)], lambda x, y: (x + y, 3 * x), False
    ),
    "cross entropy of 21 classes 2x256x256": entropy(21),
    "cross entropy of 4 classes 2x256x256": entropy(4),
    "Lovász softmax of 4 classes 2x256x256": Case(
        lambda x, labels: F.lovasz_softmax_loss(x, labels, activation="softmax"),
        lovasz,
        lambda: [numbers(2, 4, 256, 256), RANDOM.integers(0, 4, (2, 256, 256))],
        lambda x, _: (x, 0),
        False,
    ),
    "binary cross entropy of logits 4x512x512": Case(
        F.binary_cross_entropy_with_logits,
        lambda t, x, y: t.binary_cross_entropy_with_logits(x, y),
        lambda: [numbers(4, 1, 512, 512), (numbers(4, 1, 512, 512) > 0).astype(np.float32)],
        lambda x, _: (x, 0),
    ),
    "mean squared error 4x64x128x128": Case(
        F.mse_loss, lambda t, x, y: t.mse_loss(x, y), lambda: [numbers(*MAP), numbers(*MAP)], lambda x, _: (x, 0)
    ),
    "add of two 67 MB maps": Case(
        lambda x, y: x + y, lambda _, x, y: x + y, lambda: [numbers(BIG), numbers(BIG)], lambda x, y: (x + y, 0), given=into("add")
    ),
    "sigmoid of a 67 MB map": Case(
        nx.sigmoid, lambda t, x: t.sigmoid(x), lambda: [numbers(BIG)], lambda x, y: (x + y, 0), given=into("sigmoid")
    ),
    "ReLU 4x64x128x128": Case(F.relu, lambda t, x: t.relu(x), lambda: [numbers(*MAP)], lambda x, y: (x + y, 3 * x)),
    "GELU 4x64x128x128": Case(F.gelu, lambda t, x: t.gelu(x), lambda: [numbers(*MAP)], lambda x, y: (x + y, 3 * x)),
    "concatenation of two 4x64x128x128": Case(
        lambda x, y: nx.cat([x, y], 1),
        lambda _, x, y: torch_cat([x, y], 1),
        lambda: [numbers(*MAP), numbers(*MAP)],
        lambda x, y: (x + y, 0),
    ),
    "planes to channels last 4x64x128x128": Case(
        lambda x: x.permute(0, 2, 3, 1).contiguous(),
        lambda _, x: x.permute(0, 2, 3, 1).contiguous(),
        lambda: [numbers(4, 64, 128, 128)],
        lambda x, y: (x + y, 0),
        last=None,
    ),
}


def lying(x: np.ndarray, last: bool | None) -> np.ndarray:
    """A map with its channels innermost in memory, or as it is."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if last and x.ndim == 4 else x


def our_sides(case: Case, arrays: list[np.ndarray]) -> dict[str, Callable[[], object]]:
    """Forward and backward of ours."""
    laid = [lying(a, case.last) for a in arrays]
    plain = [nx.tensor(a) for a in laid]

    def forward() -> object:
        with nx.no_grad():
            return case.ours(*plain)

    def build() -> Callable[[], object]:
        y = case.ours(nx.tensor(laid[0], requires_grad=True), *(nx.tensor(a, requires_grad=a.ndim == 1) for a in laid[1:]))
        g, rule = nx.tensor(lying(numbers(*y.shape), case.last))._array, y._node.vjp
        return lambda: rule(g)

    return {"forward": forward, "backward": build()} if case.moved(1, 1)[1] else {"forward": forward}


def torch_sides(case: Case, arrays: list[np.ndarray], last: bool) -> dict[str, Callable[[], object]]:
    """The same in PyTorch."""
    import torch

    order = lambda a: torch.channels_last if last and a.ndim == 4 else torch.contiguous_format  # noqa: E731
    inputs = [torch.from_numpy(a).contiguous(memory_format=order(a)) for a in arrays]
    functions = torch.nn.functional

    def forward() -> object:
        with torch.no_grad():
            return case.theirs(functions, *inputs)

    sides: dict[str, Callable[[], object]] = {"forward": forward}
    if case.given is not None:
        sides["given"] = case.given(*inputs)
    if case.moved(1, 1)[1]:
        leaves = [t.clone().requires_grad_() if i == 0 or arrays[i].ndim == 1 else t for i, t in enumerate(inputs)]
        wanted = [t for t in leaves if t.requires_grad]
        y = case.theirs(functions, *leaves)
        g = torch.randn(y.shape).contiguous(memory_format=order(y))
        sides["backward"] = lambda: torch.autograd.grad(y, wanted, g, retain_graph=True)
    return sides


def opencv_side(case: Case, arrays: list[np.ndarray], size: int, threads: int) -> Callable[[], object]:
    """Every plane resized by OpenCV."""
    import cv2

    cv2.setNumThreads(threads)
    planes, how = arrays[0].reshape(-1, *arrays[0].shape[2:]), getattr(cv2, case.opencv)
    return lambda: [cv2.resize(plane, (size, size), interpolation=how) for plane in planes]


def measured(name: str, case: Case, repeats: int, copy: float) -> list[dict[str, Any]]:
    """The rows of one operation."""
    arrays = case.arrays()
    ours = our_sides(case, arrays)
    y = case.ours(*(nx.tensor(a) for a in arrays))
    moved = dict(zip(("forward", "backward"), case.moved(sum(a.nbytes for a in arrays), y.numpy().nbytes), strict=True))
    peers: dict[str, dict[str, Callable[[], object]]] = {}
    if installed("torch"):
        for side, last in (("PyTorch", False), ("PyTorch, channels last", True)):
            if not last or (case.last is not None and any(a.ndim == 4 for a in arrays)):
                found = attempt(side, lambda last=last: torch_sides(case, arrays, last))
                peers |= {side: found} if found else {}
    rows = []
    for part in ours:
        sides: Sides = {"neurenix": ours[part]} | {side: runs[part] for side, runs in peers.items() if part in runs}
        if part == "forward":
            sides |= {f"{side}, out=": runs["given"] for side, runs in peers.items() if "given" in runs}
            if case.opencv and installed("cv2"):
                try_side(sides, "OpenCV", lambda: opencv_side(case, arrays, y.shape[-1], nx.get_num_threads()))
        times = interleave(sides, repeats)
        speed = {side: moved[part] / seconds / 1e9 for side, seconds in times.items()}
        rows += compare(f"{name}, {part}", times, **{"GB/s": speed, "of copy": {side: gbs / copy for side, gbs in speed.items()}})
    return rows


def adam(repeats: int, copy: float) -> list[dict[str, Any]]:
    """A step over the parameters of a U-Net's 3x3 layers: four arrays are read, three written.

    "of its bus" is the time of passes that do nothing but read and write as much, three copies and a sum, over the side's.
    """
    shapes = [(64 << level, 64 << max(level - 1, 0), 3, 3) for level in range(5) for _ in range(2)] + [(1024, 1024, 3, 3)]
    values = [numbers(*s) for s in shapes]
    sides: Sides = {}

    def ours() -> Callable[[], object]:
        parameters = [nx.nn.Parameter(nx.tensor(v)) for v in values]
        optimizer = nx.optim.Adam(parameters, lr=1e-3)
        for p, v in zip(parameters, values, strict=True):
            p.grad = nx.tensor(v)
        return optimizer.step

    def fused() -> Callable[[], object]:
        import torch

        parameters = [torch.nn.Parameter(torch.from_numpy(v.copy())) for v in values]
        for p, v in zip(parameters, values, strict=True):
            p.grad = torch.from_numpy(v.copy())
        return torch.optim.Adam(parameters, lr=1e-3, fused=True).step

    try_side(sides, "neurenix", ours)
    if installed("torch"):
        try_side(sides, "PyTorch, fused", fused)
    count = sum(v.size for v in values)
    read, written = ([nx.zeros(count) for _ in range(n)] for n in (4, 3))

    def traffic() -> None:
        for y, x in zip(written, read, strict=False):
            layout.copy_into(y._array, x._array)
        read[3].sum()

    times = interleave(sides | {"traffic": traffic}, repeats)
    bus = times.pop("traffic")
    speed = {side: 28 * count / seconds / 1e9 for side, seconds in times.items()}
    of_copy = {side: gbs / copy for side, gbs in speed.items()}
    of_bus = {side: bus / seconds for side, seconds in times.items()}
    return compare(f"Adam, {count / 1e6:.0f} M parameters, step", times, **{"GB/s": speed, "of copy": of_copy, "of its bus": of_bus})


def main() -> None:
    """Measure all operations, or those whose name holds a word."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a part of the operations' names")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    about = machine() | {"versions": versions()}
    torch_threads(about["threads"])
    rows: list[dict[str, Any]] = []
    for name, case in CASES.items():
        if options.only in name:
            rows += measured(name, case, options.repeats, about["copy_gbs"])
    if options.only in "Adam":
        rows += adam(options.repeats, about["copy_gbs"])
    report("memory", rows, about)


if __name__ == "__main__":
    main()
