"""Faults planted in the kernels of chains, one at a time: each is noticed in the emulator, beside the CPU's results."""

import itertools

import numpy as np
import pytest
from gpu import emulated
from gpu.emulated import EmulatedModule, EmulatorError

import neurenix as nx
from neurenix import autograd
from neurenix.backend import sources
from neurenix.ops.conv_chain import Norm, Unit, conv_chain, halved_chain


def image(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


def trained(device, maps, widths):
    """A run's output, and the gradients of its inputs and weights."""
    xs = [nx.tensor(image(*shape, seed=i)).to(device).requires_grad_() for i, shape in enumerate(maps)]
    weights = [nx.tensor(image(k, c, 3, 3, seed=c)).to(device).requires_grad_() for c, k in itertools.pairwise(widths)]
    y = conv_chain(xs[0], [Unit(w, padding=1, norm=Norm("batch"), activation="relu") for w in weights], *xs[1:])
    y.backward(nx.tensor(image(*y.shape)).to(device))
    return [y.numpy(), *(t.grad.numpy() for t in (*xs, *weights))]


def plain(device):
    """Two units of statistics and a tile that is cut, then a normalised map."""
    return trained(device, [(1, 8, 9, 14)], [8, 12, 8])


def beside(device):
    return trained(device, [(1, 8, 5, 6), (1, 12, 5, 6)], [20, 9])


def in_parts(device):
    """The gradient of the input is summed in parts."""
    return trained(device, [(1, 8, 3, 4), (1, 12, 3, 4)], [20, 180])


def pooled(device):
    """A map of odd sizes and its maxima, each with a gradient of its own; negative zeros and equal maxima among them."""
    x, w = (nx.tensor(np.round(image(*shape))).to(device).requires_grad_() for shape in ((2, 8, 5, 7), (9, 8, 1, 1)))
    y, below = halved_chain(x, [Unit(w, norm=Norm("batch"), activation="relu")], ceil_mode=True)
    ends = [y * 2.0, below]  # the pool's gradient meets the map's, which lies as the map does
    laid = [nx.tensor(image(n, h, w, c)).to(device).permute(0, 3, 1, 2) for n, c, h, w in (t.shape for t in ends)]
    autograd.backward([(t, g._array) for t, g in zip(ends, laid, strict=True)])
    return [t.detach().numpy() for t in (y, below, x.grad, w.grad)]


# fault: capability, file, case, right, wrong
MUTATIONS = {
    "no barrier behind the unit": (70, "conv_fused", plain, "__syncthreads();  // the unit is written", ""),
    "half a unit": (70, "conv_fused", plain, "halves = units ? 2 : 1", "halves = 1"),
    "the wrong half": (70, "conv_fused", beside, "pixel * (wide - first_y) - first_y", "pixel * (wide - first_y)"),
    "an output of the other map": (70, "conv_fused", beside, "second_y && channel >= first_y;", "second_y && channel > first_y;"),
    "tables one channel off": (70, "conv_fused", plain, "scale[channel + i], shift[channel + i]", "scale[channel + i], shift[channel + i + 1]"),
    "padding normalised": (70, "conv_fused", plain, "if (i < count) {\n                const element y", "{\n                const element y"),
    "no ReLU on the way in": (70, "conv_fused", plain, "quad.v[i] = relu && y < 0 ? (element)0 : y;", "quad.v[i] = y;"),
    "a row of tiles too few": (70, "conv_fused", plain, "row < ROWS; row++) {\n                const", "row + 1 < ROWS; row++) {\n                const"),
    "no barrier before rows are added": (70, "conv_fused", plain, "= term.four(p, c);\n        __syncthreads();", "= term.four(p, c);"),
    "a pixel of the next unit": (70, "conv_fused", plain, "row < rows.output && col < cols.output;", "true;"),
    "a weight gradient's second map unread": (70, "conv_fused", beside, "beside = second && channel >= first;", "beside = false;"),
    "what has not arrived is normalised": (80, "conv_fused_tensor", plain, "cp_async_wait<STAGES - 2>();", "cp_async_wait<STAGES - 1>();"),
    "normalised behind the barrier": (
        80,
        "conv_fused_tensor",
        plain,
        "left.ready(stages[reading].left), right.ready(stages[reading].right);\n            __syncthreads(); ",
        "__syncthreads(); left.ready(stages[reading].left), right.ready(stages[reading].right); ",
    ),
    "zeros normalised": (80, "conv_fused_tensor", plain, "if (!(mine >> (LOADS - 1 - i) & 1)) continue;", ""),
    "the latest copies first": (80, "conv_fused_tensor", plain, "mine >> (LOADS - 1 - i) & 1", "mine >> i & 1"),
    "channels of the stage loaded last": (80, "conv_fused_tensor", plain, "place.channel - reading.stages() * Tile::DEPTH", "place.channel - Tile::DEPTH"),
    "tables of a tile's first channel": (80, "conv_fused_tensor", plain, "const int64 channel = channels - below.columns;", "const int64 channel = 0;"),
    "no barrier before moments": (80, "conv_fused_tensor", plain, "__syncthreads();  // the unit is written, and the product read", ""),
    "two maps' columns at one pitch": (80, "conv_fused_tensor", beside, "pitch = other ? size - split : split;", "pitch = split;"),
    "a half from its first column": (80, "conv_fused_tensor", beside, "second_y - chain.first_y : to", "second_y : to"),
    "a window beyond the last row": (70, "norm", pooled, "below = 2 * spot.i + 1 < h", "below = true"),
    "a window beyond the last column": (70, "norm", pooled, "beside = 2 * spot.j + 1 < w", "beside = true"),
    "the last of equal values": (70, "norm", pooled, "if (value > best || value != value) best", "if (value >= best || value != value) best"),
    "no ReLU before maxima": (70, "norm", pooled, "value = relu && value < 0 ? (element)0 : value;\n            if (y)", "if (y)"),
    "rows of taps": (70, "norm", pooled, "place = k * (w > 1 ? 2 : 1) + l;", "place = k + 2 * l;"),
    "maxima at another pitch": (70, "norm", pooled, "((spot.o * oh + spot.i) * ow + spot.j) * c", "((spot.o * oh + spot.i) * w + spot.j) * c"),
    "a gradient of another tap": (70, "pooling", pooled, "tap[at] == spot.i % 2 * (w > 1 ? 2 : 1) + spot.j % 2", "tap[at] == spot.i % 2 + spot.j % 2"),
    "a gradient in the place of the sum": (70, "pooling", pooled, "dx[n] = dx[n] + sum;", "dx[n] = sum;"),
    "a gradient at the map's pitch": (70, "pooling", pooled, "((spot.o * oh + i) * ow + j) * inner", "((spot.o * oh + i) * w + j) * inner"),
    "parts of one map only": (80, "conv_fused_tensor", in_parts, "const bool beside = second_y && channel >= first_y;", "const bool beside = false;"),
}  # fmt: skip
CASES = sorted({(capability, case.__name__) for capability, _, case, *_ in MUTATIONS.values()})


def notice(door, monkeypatch, capability, case):
    """What would be noticed: another result than the CPU's, or what the emulator says."""
    monkeypatch.setattr(door, "capability", capability)
    with nx.set_float32_precision("ieee"):
        expected = case("cpu")
    try:
        with nx.set_float32_precision("ieee" if capability == 70 else "fast"):
            got = case("emulated")
    except EmulatorError as error:
        return str(error)
    far = max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(got, expected, strict=True))
    return "" if far < 5e-6 else "another result"


@pytest.mark.parametrize(("capability", "case"), CASES)
def test_without_a_fault_nothing_is_noticed(door, monkeypatch, capability, case):
    assert notice(door, monkeypatch, capability, globals()[case]) == ""


@pytest.mark.parametrize("fault", MUTATIONS)
def test_a_planted_fault_is_noticed(door, monkeypatch, fault):
    capability, stem, case, right, wrong = MUTATIONS[fault]
    assert right in sources.unit(stem, "f32"), "the kernel has changed: plant the fault anew"

    def module(name, suffix):
        unit = sources.unit(name, suffix)
        return EmulatedModule(unit.replace(right, wrong) if name == stem else unit)

    monkeypatch.setattr(emulated, "module", module)
    assert notice(door, monkeypatch, capability, case), f"{stem}.cu with {fault} went unnoticed"
