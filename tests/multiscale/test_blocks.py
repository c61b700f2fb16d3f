"""What all building blocks have in common: sizes, gradients, files, checkpointing, a second device, refusals."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import DTypeError, ShapeError
from neurenix.multiscale import (
    ASPP,
    DAPPM,
    PPM,
    SPPF,
    AttentionGate,
    BiFPN,
    BlurPool,
    FeaturePyramidNetwork,
    LastLevelMaxPool,
    LastLevelP6P7,
    PANet,
    ResidualBlock,
    SqueezeExcitation,
    UNetPlusPlus,
    UPerHead,
)
from neurenix.testing import assert_same_bits, check_gradient, random_array

pytestmark = pytest.mark.filterwarnings("ignore::neurenix.errors.NeurenixWarning")
SIZES = [(1, 1), (2, 3), (5, 1), (7, 9), (16, 16), (33, 18)]


class Block(NamedTuple):
    """A block, the channels of its inputs at which fractions of a size, and what it gives of a size."""

    make: Callable[[], Any]
    inputs: list[tuple[int, int]]
    gives: Callable[[int, int], list[tuple[int, ...]]]
    as_list: bool = False


def same(channels: int, times: int = 1) -> Callable[[int, int], list[tuple[int, ...]]]:
    return lambda h, w: [(channels, h, w)] * times


def up(n: int, by: int) -> int:
    return -(-n // by)


def halves(channels: int, levels: int) -> Callable[[int, int], list[tuple[int, ...]]]:
    return lambda h, w: [(channels, up(h, 1 << i), up(w, 1 << i)) for i in range(levels)]


def thirds(channels: int) -> Callable[[int, int], list[tuple[int, ...]]]:
    return lambda h, w: [(channels, up(h, n), up(w, n)) for n in (1, 3, 6)]


HALVES = [(3, 1), (4, 2), (5, 4)]
BLOCKS = {
    "UNetPlusPlus": Block(lambda: UNetPlusPlus(3, 2, [4, 6], norm="group"), [(3, 1)], same(2)),
    "UNetPlusPlus-supervised": Block(lambda: UNetPlusPlus(3, 2, [2, 3, 4], norm="group", deep_supervision=True), [(3, 1)], same(2, 3)),
    "AttentionGate": Block(lambda: AttentionGate(4, 6, 3), [(4, 1), (6, 2)], same(4)),
    "AttentionGate-norm": Block(lambda: AttentionGate(4, 6, norm="instance"), [(4, 1), (6, 3)], same(4)),
    "SqueezeExcitation": Block(lambda: SqueezeExcitation(6, 2), [(6, 1)], same(6)),
    "ResidualBlock": Block(lambda: ResidualBlock(4, 4, norm="group"), [(4, 1)], same(4)),
    "ResidualBlock-stride": Block(
        lambda: ResidualBlock(4, 6, 2, norm="group", squeeze_excitation=True), [(4, 1)], lambda h, w: [(6, up(h, 2), up(w, 2))]
    ),
    "BlurPool": Block(lambda: BlurPool(3), [(3, 1)], lambda h, w: [(3, up(h, 2), up(w, 2))]),
    "BlurPool-even": Block(lambda: BlurPool(3, 4, 3), [(3, 1)], lambda h, w: [(3, up(h, 3), up(w, 3))]),
    "FeaturePyramidNetwork": Block(lambda: FeaturePyramidNetwork([3, 4, 5], 6), HALVES, halves(6, 3), True),
    "FeaturePyramidNetwork-norm": Block(
        lambda: FeaturePyramidNetwork([3, 4], 6, LastLevelMaxPool(), norm="group"), [(3, 1), (4, 3)], thirds(6), True
    ),
    "FeaturePyramidNetwork-p6": Block(lambda: FeaturePyramidNetwork([3, 4, 5], 6, LastLevelP6P7(5, 6)), HALVES, halves(6, 5), True),
    "FeaturePyramidNetwork-p6-of-p5": Block(lambda: FeaturePyramidNetwork([3, 4, 5], 6, LastLevelP6P7(6, 6)), HALVES, halves(6, 5), True),
    "PANet": Block(lambda: PANet([3, 4, 5], 6), HALVES, halves(6, 3), True),
    "PANet-quarters": Block(
        lambda: PANet([3, 4], 6, norm="group"), [(3, 1), (4, 4)], lambda h, w: [(6, h, w), (6, up(h, 4), up(w, 4))], True
    ),
    "BiFPN": Block(lambda: BiFPN([3, 4, 5], 6, 2, norm="group"), HALVES, halves(6, 3), True),
    "BiFPN-two": Block(lambda: BiFPN([3, 3], 3, 1, norm=None), [(3, 1), (3, 4)], lambda h, w: [(3, h, w), (3, up(h, 4), up(w, 4))], True),
    "ASPP": Block(lambda: ASPP(4, [2, 3], 6, norm="group", dropout=0.0), [(4, 1)], same(6)),
    "SPPF": Block(lambda: SPPF(4, 6, norm="group"), [(4, 1)], same(6)),
    "PPM": Block(lambda: PPM(4, 6, norm="group"), [(4, 1)], same(6)),
    "DAPPM": Block(lambda: DAPPM(4, 3, 6, norm="group"), [(4, 1)], same(6)),
    "UPerHead": Block(lambda: UPerHead([3, 4, 5], 2, 6, norm="group", dropout=0.0), HALVES, same(2), True),
    "UPerHead-one": Block(lambda: UPerHead([3], 2, 6, (1, 2), norm="group", dropout=0.0), [(3, 1)], same(2), True),
}
blocks = pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)


def made(block: Block) -> Any:
    nx.manual_seed(1)
    return block.make()


def maps(block: Block, n: int, h: int, w: int, dtype: Any = np.float32) -> list[np.ndarray[Any, Any]]:
    return [random_array(n, c, up(h, by), up(w, by), seed=i, dtype=dtype) for i, (c, by) in enumerate(block.inputs)]


def call(block: Block, module: Any, xs: Any) -> list[nx.Tensor]:
    y = module(list(xs)) if block.as_list else module(*xs)
    return list(y) if isinstance(y, (list, tuple)) else [y]


@blocks
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n", [1, 2])
def test_sizes(block, size, n):
    module = made(block)
    found = call(block, module, maps(block, n, *size))
    assert [y.shape for y in found] == [(n, *s) for s in block.gives(*size)]
    assert all(y.dtype == np.float32 and np.isfinite(y.numpy()).all() for y in found)
    if module.num_parameters():
        sum(y.sum() for y in found).backward()
        assert all(p.grad is not None and np.isfinite(p.grad.numpy()).all() for p in module.parameters())


@blocks
def test_no_images(block):
    found = call(block, made(block).eval(), maps(block, 0, 5, 4))
    assert [y.shape for y in found] == [(0, *s) for s in block.gives(5, 4)]


@blocks
def test_gradient(block):
    module = made(block).double()
    check_gradient(lambda *xs: call(block, module, xs), *maps(block, 2, 7, 6, np.float64), tolerance=1e-5)


@blocks
def test_files(block, tmp_path):
    module = made(block).eval()
    nx.save(module, tmp_path / "module.nx")
    xs = maps(block, 2, 7, 6)
    got = nx.load(tmp_path / "module.nx")
    for a, b in zip(call(block, got, xs), call(block, module, xs), strict=True):
        assert_same_bits(a, b)


@blocks
def test_checkpointing_has_the_same_bits(block):
    def run(checkpointed):
        module = made(block)
        xs = [nx.Tensor(x, requires_grad=True) for x in maps(block, 2, 9, 7)]
        if checkpointed:
            with nx.enable_gradient_checkpointing():
                found = call(block, module, xs)
        else:
            found = call(block, module, xs)
        sum((y * y).sum() for y in found).backward()
        return [*(x.grad.numpy() for x in xs), *(p.grad.numpy() for p in module.parameters())]

    for a, b in zip(run(False), run(True), strict=True):
        assert_same_bits(b, a)


@blocks
def test_memory_orders(block):
    module, xs = made(block).eval(), maps(block, 2, 6, 5)
    last = [x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2) for x in xs]
    for a, b in zip(call(block, module, last), call(block, module, xs), strict=True):
        assert_same_bits(a, b)


@blocks
def test_devices(block, device):
    module, xs = made(block).eval(), maps(block, 1, 5, 4)
    want = call(block, module, xs)
    module.to(device=device)
    inputs = [nx.Tensor(x).to(device=device).requires_grad_() for x in xs]
    found = call(block, module, inputs)
    sum(y.sum() for y in found).backward()
    for a, b in zip(found, want, strict=True):
        np.testing.assert_allclose(a.to(device="cpu").numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


@blocks
def test_wrong_inputs(block):
    module, name = made(block), type(made(block)).__name__
    good = maps(block, 1, 6, 6)
    for i, (channels, _) in enumerate(block.inputs):
        for wrong, kind in [
            (random_array(1, channels + 1, 6, 6), ShapeError),
            (random_array(channels, 6, 6), ShapeError),
            (random_array(1, channels, 0, 6), ShapeError),
            (np.zeros((1, channels, 6, 6), np.int64), DTypeError),
            (np.zeros((1, channels, 6, 6), np.uint8), DTypeError),
        ]:
            with pytest.raises(kind, match=f"{name}.*: expected .*, got .*; "):
                call(block, module, [*good[:i], wrong, *good[i + 1 :]])
    assert [y.shape for y in call(block, module, good)] == [(1, *s) for s in block.gives(6, 6)]
