"""A step in shards: the plain loop gives its bits, losses that span the batch are those of the batch, statistics move once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, GraphError, ShapeError
from neurenix.multiscale import UNet
from neurenix.parallel import Ranks, Shards, tree

COUNT, SAMPLES = 4, 8


def batch(classes: int = 0) -> tuple[nx.Tensor, nx.Tensor]:
    rng = np.random.default_rng(0)
    x = rng.random((SAMPLES, 1, 12, 12), np.float32)
    return nx.tensor(x), nx.tensor(rng.integers(0, classes, (SAMPLES, 12, 12)) if classes else (x > 0.5).astype(np.float32))


def network(outputs: int = 1, activation: str | None = "sigmoid", norm: Any = "batch") -> UNet:
    nx.manual_seed(0)
    return UNet(1, outputs, [4, 8], final_activation=activation, norm=norm)


def gradients(model: nn.Module) -> list[np.ndarray]:
    return [p.grad.numpy() for p in model.parameters()]


def test_the_tree_adds_neighbours() -> None:
    written = [tree.total([str(i) for i in range(n)], lambda a, b: f"({a}+{b})") for n in (1, 2, 4, 5, 6)]
    assert written == ["0", "(0+1)", "((0+1)+(2+3))", "(((0+1)+(2+3))+4)", "(((0+1)+(2+3))+(4+5))"]
    assert tree.block(1, 2, 6) == [(3, 4), (4, 6)]


def test_a_plain_loop_of_accumulation_gives_the_same_bits() -> None:
    x, t = batch()
    model, by_hand, criterion = network(), network(), nn.BCELoss()
    loss = Shards(COUNT).backward(model, criterion, x, t)
    each: list[list[np.ndarray]] = []
    statistics = [b.numpy().copy() for b in by_hand.buffers()]
    moved, losses = [], []
    for i in range(COUNT):
        for b, value in zip(by_hand.buffers(), statistics, strict=True):
            b.assign_(nx.tensor(value))
        part = slice(2 * i, 2 * i + 2)
        own = criterion(by_hand(x[part]), t[part])
        for p in by_hand.parameters():
            p.grad = None
        (own / COUNT).backward()
        each.append(gradients(by_hand))
        moved.append([b.numpy() for b in by_hand.buffers()])
        losses.append(own.numpy())
    for found, (a, b, c, d) in zip(gradients(model), zip(*each, strict=True), strict=True):
        assert np.array_equal(found, (a + b) + (c + d))
    for found, (a, b, c, d) in zip(model.buffers(), zip(*moved, strict=True), strict=True):
        assert np.array_equal(found.numpy(), ((a + b) + (c + d)) / np.float32(COUNT) if found.is_floating_point() else a)
    assert loss.item() == ((losses[0] + losses[1]) + (losses[2] + losses[3])) / np.float32(COUNT)


def test_one_shard_is_the_plain_step() -> None:
    x, t = batch()
    model, plain, criterion = network(), network(), nn.CombinedLoss(nn.BCELoss(), nn.DiceLoss())
    loss = Shards(1).backward(model, criterion, x, t)
    expected = criterion(plain(x), t)
    expected.backward()
    assert loss.item() == expected.item()
    assert all(map(np.array_equal, gradients(model), gradients(plain)))
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(model.buffers(), plain.buffers(), strict=True))


MASK = np.random.default_rng(1).random((SAMPLES, 1, 12, 12)) > 0.4
WEIGHT = nx.tensor([1.0, 3.0, 0.5])
LOSSES: dict[str, tuple[int, Callable[[], Any]]] = {
    "BCE": (1, nn.BCELoss),
    "BCE, ignored": (1, lambda: nn.BCELoss(ignore_index=1.0)),
    "Dice": (1, nn.DiceLoss),
    "Jaccard and BCE": (1, lambda: nn.CombinedLoss(nn.JaccardLoss(), nn.BCELoss())),
    "Tversky": (1, nn.TverskyLoss),
    "clDice": (1, nn.SoftClDiceLoss),
    "cross entropy": (3, nn.CrossEntropyLoss),
    "cross entropy, weights, ignored": (3, lambda: nn.CrossEntropyLoss(weight=WEIGHT, ignore_index=0)),
    "generalised Dice": (3, lambda: nn.GeneralizedDiceLoss(activation="softmax")),
    "focal": (3, lambda: nn.FocalLoss(weight=WEIGHT, ignore_index=1)),
    "two that span the batch": (3, lambda: nn.CombinedLoss(nn.CrossEntropyLoss(weight=WEIGHT), nn.DiceLoss(activation="softmax"))),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_span_the_batch_are_those_of_the_batch(name: str) -> None:
    """Without batch norm a step in shards is the whole batch's, but for rounding, though shards hold other shares of each class."""
    outputs, make = LOSSES[name]
    x, t = batch(outputs if outputs > 1 else 0)
    model, plain = (network(outputs, "sigmoid" if outputs == 1 else None, None) for _ in range(2))
    loss = Shards(COUNT).backward(model, make(), x, t)
    expected = make()(plain(x), t)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for found, wanted in zip(gradients(model), gradients(plain), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=1e-6)


def test_dropout_masks_are_those_of_the_batch() -> None:
    x, t = nx.tensor(np.ones((SAMPLES, 50), np.float32)), nx.zeros(SAMPLES, 50)
    grads = []
    for shards in (1, 2, 4):
        nx.manual_seed(3)
        model = nn.Sequential(nn.Dropout(0.5), nn.Linear(50, 50))
        model[1].weight.assign_(nx.eye(50))
        nx.manual_seed(4)
        Shards(shards).backward(model, nn.L1Loss(reduction="sum"), x, t)
        grads.append((model[1].weight.grad.numpy() * shards, nx.get_rng_state()))
    for gradient, state in grads[1:]:
        np.testing.assert_array_equal(gradient, grads[0][0])
        assert state == grads[0][1]


@pytest.mark.devices
def test_shards_are_computed_where_the_model_is(device: str) -> None:
    """Gradients travel over the CPU; what comes back is on the model's device."""
    rng = np.random.default_rng(0)
    x, t = nx.tensor(rng.random((8, 4), np.float32)), nx.tensor(rng.integers(0, 3, 8))

    def small() -> nn.Module:
        nx.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    model, on_the_cpu = small().to(device), small()
    loss = Shards(2).backward(model, nn.CrossEntropyLoss(weight=WEIGHT.to(device)), x.to(device), t.to(device))
    expected = Shards(2).backward(on_the_cpu, nn.CrossEntropyLoss(weight=WEIGHT), x, t)
    assert loss.cpu().item() == pytest.approx(expected.item(), rel=1e-5)
    assert all(p.grad.device == p.device == next(model.buffers()).device for p in model.parameters())
    for found, wanted in zip([*model.parameters(), *model.buffers()], [*on_the_cpu.parameters(), *on_the_cpu.buffers()], strict=True):
        one, other = (found, wanted) if found.grad is None else (found.grad, wanted.grad)
        np.testing.assert_allclose(one.cpu().numpy(), other.numpy(), rtol=1e-3, atol=1e-5)


def test_gradients_of_a_gpu_go_through_pinned_memory_beside_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CuPy whose copies are late: who does not wait adds what was in memory; nothing makes the CPU wait for a gradient's copy."""
    from gpu import emulated, fake_cupy

    emulated.require()
    fake = fake_cupy.in_place(monkeypatch, fake_cupy.FakeCuPy())
    x, t = np.random.default_rng(0).random((8, 4), np.float32), np.zeros(8, np.int64)

    def small() -> nn.Module:
        nx.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    model, on_the_cpu = small().to("cuda"), small()
    waited: list[str] = []
    monkeypatch.setattr(fake, "asnumpy", lambda array: waited.append(array.shape) or emulated.door.to_numpy(array))
    loss = Shards(2).backward(model, nn.CrossEntropyLoss(), nx.tensor(x, device="cuda"), nx.tensor(t, device="cuda"))
    assert set(waited) == {()}  # losses
    assert fake.log.count(("copy back", "copies")) == 2 * (4 + 2)  # parameters and running statistics of each shard
    Shards(2).backward(on_the_cpu, nn.CrossEntropyLoss(), nx.tensor(x), nx.tensor(t))
    assert loss.cpu().item() == pytest.approx(np.log(3), rel=1)
    for found, wanted in zip([*model.parameters(), *model.buffers()], [*on_the_cpu.parameters(), *on_the_cpu.buffers()], strict=True):
        one, other = (found, wanted) if found.grad is None else (found.grad, wanted.grad)
        np.testing.assert_allclose(one.cpu().numpy(), other.numpy(), rtol=1e-3, atol=1e-5)


class SecondOfTwo(Ranks):
    """One of two ranks, of which the other is always there; it writes down what leaves."""

    rank, size = 1, 2

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def gather(self, value: Any, meanwhile: Callable[[], object] = int) -> list[Any]:
        self.log.append("gather")
        meanwhile()
        *rest, losses = value
        return [(*rest, {shard - 1: loss for shard, loss in losses.items()}), value]

    def send(self, array: np.ndarray, rank: int, tag: int) -> Any:
        self.log.append(f"send {tag}")
        return self

    def receive(self, array: np.ndarray, rank: int, tag: int) -> Any:
        array[...] = 0
        return self

    def Test(self) -> bool:
        return True


def test_gradients_leave_while_backward_goes_on() -> None:
    log: list[str] = []
    model = nn.Sequential(nn.Linear(4, 600), nn.ReLU(), nn.Linear(600, 600))
    model[0].weight.register_hook(lambda _: log.append("first layer"))
    Shards(2, SecondOfTwo(log)).backward(model, nn.MSELoss(), nx.randn(2, 4), nx.randn(2, 600))
    assert log == ["send 0", "first layer", "send 3", "gather"]  # the last layer's to their owner; a sum of its own when all is there


def test_parameters_without_a_gradient_have_none() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    spare = nn.Linear(2, 2)
    model[1].spare = spare
    Shards(2).backward(model, nn.MSELoss(), nx.randn(4, 2), nx.randn(4, 2))
    assert spare.weight.grad is None
    assert model[0].weight.grad is not None


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    x, t = batch()
    model = network()
    before, state = [b.numpy().copy() for b in model.buffers()], nx.get_rng_state()
    with pytest.raises(ShapeError, match=r"expected samples along the first axis that 4 shards divide evenly, got \[\(6, 1, 12, 12\)"):
        Shards(4).backward(model, nn.BCELoss(), x[:6], t[:6])
    with pytest.raises(ArgumentError, match="expected count"):
        Shards(0)

    def uneven(output: nx.Tensor, target: nx.Tensor) -> nx.Tensor:
        return nn.functional.dice_loss(output, target) if float(target.sum()) > mean else nn.functional.l1_loss(output, target)

    mean = float(np.median([t[2 * i : 2 * i + 2].sum().item() for i in range(4)]))
    with pytest.raises(GraphError, match="shards of one size whose losses sum alike"):
        Shards(4).backward(model, uneven, x, t)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.buffers(), strict=True))
    assert nx.get_rng_state() == state
