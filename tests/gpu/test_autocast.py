"""Training in half precision on the emulated GPU, beside the CPU."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn


def trained(device, dtype, steps=3):
    """Parameters after some steps, the losses, and the scale."""
    nx.manual_seed(0)
    layers = (
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.ConvTranspose2d(8, 8, 2, 2),
        nn.Conv2d(8, 2, 1),
    )
    model = nn.Sequential(*layers).to(device)
    optimizer = nx.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = nx.GradScaler("cpu", init_scale=2.0**30, growth_interval=2)  # so large that first steps overflow in float16
    x = nx.tensor(np.random.default_rng(1).standard_normal((2, 3, 6, 8)).astype(np.float32)).to(device)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        with nx.autocast(device, dtype=dtype):
            loss = nn.functional.cross_entropy(model(x), nx.tensor(np.arange(96).reshape(2, 6, 8) % 2).to(device))
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return [p.detach().cpu().numpy() for p in model.parameters()], losses, scaler.get_scale()


@pytest.mark.parametrize(("dtype", "skipped"), [(nx.bfloat16, 0), (nx.float16, 3)])
def test_a_training_is_that_of_the_cpu(door, dtype, skipped):
    gpu = trained("emulated", dtype, 3 + skipped * 5)
    with nx.set_float32_precision("ieee"):  # a CPU rounds everything then, not only what gains from bfloat16
        cpu = trained("cpu", dtype, 3 + skipped * 5)
    np.testing.assert_allclose(gpu[1], cpu[1], rtol=1e-3)
    for a, b in zip(gpu[0], cpu[0], strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)
    assert gpu[2] == cpu[2]
    assert (cpu[2] < 2.0**30) == bool(skipped)
    assert cpu[1][-1] < cpu[1][0]


def test_float64_and_the_other_device_are_left_alone(door):
    x, w = nx.tensor([[1.001, 2.0]]), nx.tensor([[1.0, 1.0]])
    with nx.autocast("cpu"):
        assert nn.functional.linear(x.to("emulated"), w.to("emulated")).item() == np.float32(3.001)
    with nx.autocast("emulated"):
        assert nn.functional.linear(x.double().to("emulated"), w.double().to("emulated")).item() == x.double().sum().item()
        assert nn.functional.linear(x.to("emulated"), w.to("emulated")).item() == 3.0


def test_unscaling_and_the_question_run_our_kernels(door):
    p = nx.zeros(3).to("emulated").detach().requires_grad_()
    optimizer, scaler = nx.optim.SGD([p], lr=1.0), nx.GradScaler("cpu", init_scale=2.0)
    scaler.scale((p * nx.tensor([1.0, 2.0, 3.0]).to("emulated")).sum()).backward()
    door.launched.clear()
    scaler.unscale_(optimizer)
    assert set(door.launched) == {"unary", "total_norm", "cast_into"}
    scaler.step(optimizer)
    assert p.tolist() == [-1.0, -2.0, -3.0]
