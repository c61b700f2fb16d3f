"""Faults planted in the kernels for tensor cores and in what adds their parts, one at a time: each is noticed in the emulator."""

from contextlib import nullcontext

import numpy as np
import pytest
from gpu import emulated
from gpu.emulated import EmulatedModule, EmulatorError

import neurenix as nx
from neurenix.backend import sources
from neurenix.nn import functional as F
from neurenix.ops.conv_chain import Unit, conv_chain
from neurenix.precision import within


def image(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype("f4")


def on(device, *shapes):
    return [nx.tensor(image(*s)).to(device) for s in shapes]


def conv_cores(device):
    """Two rows of tiles, a tail of channels and of outputs, an odd number of outputs."""
    return F.conv2d(*on(device, (1, 20, 11, 13), (9, 20, 3, 3)), padding=1)


def conv_odd(device):
    return F.conv2d(*on(device, (1, 13, 5, 5), (9, 13, 3, 3)), padding=1)


def conv_in_parts(device):
    return F.conv2d(*on(device, (1, 200, 3, 3), (8, 200, 3, 3)))


def weight_gradient(device):
    x, w = on(device, (1, 9, 180, 5), (10, 9, 1, 3))
    w.requires_grad_(True)
    F.conv2d(x, w, padding=(0, 1)).backward(on(device, (1, 10, 180, 5))[0])
    return w.grad


def matmul_cores(device):
    return nx.matmul(*on(device, (5, 21), (21, 11)))


def conv_beside(device):
    """Two maps that one convolution reads."""
    with nx.no_grad():
        maps = [nx.tensor(image(1, c, 4, 5)).to(device) for c in (12, 9)]
        return conv_chain(maps[0], [Unit(nx.tensor(image(8, 21, 3, 3)).to(device), padding=1)], maps[1])


def conv_halves(device):
    """Numbers that halves have, so that only sums are rounded; a CPU takes them as they are, for it would round its output too."""
    x, w = (nx.tensor(np.round(image(*s) * 8) / 8).to(device) for s in ((1, 20, 3, 9), (9, 20, 1, 2)))
    with nullcontext() if device == "cpu" else within("bfloat16"):
        return F.conv2d(x, w)


# case: file, right, wrong
MUTATIONS = {
    "no barrier in the pipeline": (conv_cores, "tensor.cuh", "            __syncthreads();  ", "              "),
    "one stage too few waited for": (conv_cores, "tensor.cuh", "cp_async_wait<STAGES - 2>", "cp_async_wait<STAGES - 1>"),
    "the stage that is read is written": (conv_cores, "tensor.cuh", "left.load(next.left)", "left.load(stages[reading].left)"),
    "a group is not committed": (conv_cores, "tensor.cuh", "cp_async_commit();\n            multiply", "multiply"),
    "the wrong lane's weights": (conv_cores, "tensor.cuh", "tile[((lane & 3) + v * 4) * pitch", "tile[((lane & 3) * 2 + v) * pitch"),
    "a small part left out": (conv_cores, "tensor.cuh", "        mma_tf32(d, left.low, right.high);\n", ""),
    "sums never closed": (matmul_cores, "tensor.cuh", "if (ONCE || done) close();", ""),
    "halves of another depth": (conv_halves, "tensor.cuh", "pair(b[v], raw[v][of][0], raw[v][of][1])", "pair(b[v], raw[v][of][1], raw[v][of][0])"),
    "half of the depth twice": (conv_halves, "tensor.cuh", "stage.right + (d + l * APART)", "stage.right + (d + 0 * APART)"),
    "a pair in the wrong order": (conv_halves, "tensor.cuh", "pair(a[v], raw[v / 2][v % 2]", "pair(a[v], raw[v % 2][v % 2]"),
    "no bound on input rows": (conv_cores, "conv_tensor.cuh", "(unsigned)r < (unsigned)h && ", ""),
    "tail of the depth not masked": (conv_cores, "conv_tensor.cuh", "valid && rest > 0;", "valid;"),
    "no bound on outputs": (conv_cores, "conv_tensor.cuh", "if (j < count) to[j]", "to[j]"),
    "misaligned stores": (conv_cores, "conv_tensor.cuh", "count >= 4 && (unsigned long long)to % sizeof(some) == 0", "count >= 4"),
    "no barrier before the product is read": (conv_cores, "conv_tensor.cuh", "    __syncthreads();\n    const int wide", "    const int wide"),
    "a second map that is never chosen": (conv_beside, "conv_tensor.cuh", "beside = place.channel >= first;", "beside = false;"),
    "misaligned copies": (conv_odd, "conv_tensor.cuh", "channels % Tile::VECTOR == 0 && (unsigned long long)x % 16 == 0", "true"),
    "a wrong type of argument": (conv_cores, "conv.cuh", "int64 activation, double a", "int activation, double a"),
    "a part left out": (conv_in_parts, "conv_tensor.cu", "for (int64 p = 0; p < parts; p++)", "for (int64 p = 1; p < parts; p++)"),
    "short rows wrapped once": (weight_gradient, "conv_tensor_gradient.cuh", "while (col >= cols.output)", "if (col >= cols.output)"),
    "the last pixels left out": (weight_gradient, "conv_tensor_gradient.cuh", "share.start + Tile::DEPTH - 1) / Tile::DEPTH", "share.start) / Tile::DEPTH"),
    "parts that overlap": (weight_gradient, "conv.cuh", "stop = start + length < pixels ? start + length : pixels", "stop = pixels"),
    "one product too many": (matmul_cores, "matmul_tensor.cu", "line < lines && d < rest", "line < lines && d <= rest"),
}  # fmt: skip
CASES = list(dict.fromkeys(case for case, *_ in MUTATIONS.values()))


@pytest.fixture(autouse=True)
def cores(door, monkeypatch):
    """The emulated device as a card with tensor cores."""
    monkeypatch.setattr(door, "capability", 80)


def notice(door, monkeypatch, case):
    """What would be noticed: another result than the CPU's, or what the emulator says."""
    with nx.set_float32_precision("ieee"):
        expected = case("cpu").numpy()
    noticed = ""
    for guard in ("right", "left"):
        monkeypatch.setattr(door, "guard", guard)
        try:
            with nx.set_float32_precision("fast"):
                got = case("emulated").numpy()
            distance = np.linalg.norm(got - expected) / np.linalg.norm(expected)
            noticed = noticed or ("" if distance < 2e-6 else "another result")
        except EmulatorError as error:
            noticed = noticed or str(error)
    return noticed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_without_a_fault_nothing_is_noticed(door, monkeypatch, case):
    assert notice(door, monkeypatch, case) == ""


@pytest.mark.parametrize("fault", MUTATIONS)
def test_a_planted_fault_is_noticed(door, monkeypatch, fault):
    case, file, right, wrong = MUTATIONS[fault]
    assert right in sources.text(file), "the kernel has changed: plant the fault anew"

    def module(name, suffix):
        return EmulatedModule(sources.unit(name, suffix).replace(right, wrong))

    monkeypatch.setattr(emulated, "module", module)
    assert notice(door, monkeypatch, case), f"{file} with {fault} went unnoticed"
