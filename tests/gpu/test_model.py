"""A whole model on the emulated GPU: the unchanged kernels, the library's own launch code, forward, backward and optimizer."""

import copy
import warnings

import numpy as np
import pytest

import neurenix as nx
from neurenix import optim
from neurenix.errors import DeviceError, NeurenixWarning
from neurenix.multiscale import UNet, predict_tiled

IMAGES = np.random.default_rng(0).random((2, 1, 9, 7)).astype("f4")


def train(device, steps=2):
    """Outputs and parameters of a small U-Net after some steps, and its output in evaluation."""
    nx.manual_seed(0)
    model = UNet(1, 1, features=[3, 5])
    model.to(device)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    images, masks = nx.tensor(IMAGES).to(device), nx.tensor((IMAGES > 0.5).astype("f4")).to(device)
    for _ in range(steps):
        optimizer.zero_grad()
        output = model(images)
        nx.nn.BCELoss()(output, masks).backward()
        optimizer.step()
    model.eval()
    with nx.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NeurenixWarning)  # two steps are few for running statistics
        final = model(images)
    assert final.device == device
    return [output.numpy(), final.numpy(), *(p.numpy() for p in model.parameters())]


def test_a_unet_trains_as_on_the_cpu(door):
    with nx.set_float32_precision("ieee"):
        cpu, gpu = train("cpu"), train("emulated")
    for expected, got in zip(cpu, gpu, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-6)
    fused = {"convolve_fused", "conv_weight_gradient_fused"}
    assert {"convolve", "conv_weight_gradient", *fused, "max_pool_backward", "loss_elements_sum", "adam_step"} <= set(door.launched)


def test_a_model_and_its_input_on_different_devices(door):
    model = UNet(1, 1, features=[3])
    with pytest.raises(DeviceError, match="expected arrays on one device"):
        model(nx.tensor(IMAGES).to("emulated"))


@pytest.mark.devices
def test_a_copy_of_a_model_has_memory_of_its_own(device):
    model = UNet(1, 1, features=[3]).to(device)
    model.tied = next(model.parameters()).detach()
    twin = copy.deepcopy(model)
    assert {p.device for p in twin.parameters()} == {device}
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert a._array.strides == b._array.strides
    first = next(twin.parameters())
    first.grad = nx.ones_like(first)
    optim.SGD(twin.parameters(), lr=1.0).step()
    np.testing.assert_array_equal(first.numpy(), twin.tied.numpy())
    np.testing.assert_array_equal(next(model.parameters()).numpy() - 1, first.numpy())


@pytest.mark.devices
def test_a_view_of_an_output_lives_where_the_output_does(device):
    y = nx.tensor(IMAGES).to(device) * 2.0
    assert y[0, 0].device == device
    np.testing.assert_array_equal(y[0, 0, ::2].numpy(), IMAGES[0, 0, ::2] * 2)


@pytest.mark.devices
@pytest.mark.parametrize("approximate", [False, True])
def test_an_image_in_tiles_comes_back_on_its_device(device, approximate):
    model, x = UNet(1, 1, features=[2]), nx.Tensor(IMAGES[:1])
    with nx.set_float32_precision("ieee"):
        want = predict_tiled(model, x, tile=4, overlap=2, approximate=approximate).numpy()
        got = predict_tiled(model.to(device), x.to(device), tile=4, overlap=2, approximate=approximate)
    assert got.device == device
    np.testing.assert_allclose(got.numpy(), want, atol=0 if not approximate else 1e-6)
