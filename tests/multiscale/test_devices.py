"""The models on every device: the CPU, and a GPU whose kernels run in the emulator; nothing may compute behind the kernels' back."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.multiscale import (
    AttentionFusion,
    ConvNeXtEncoder,
    FeatureFusion,
    MultiScaleModel,
    MultiScalePooling,
    MultiScaleTransform,
    PyramidDownsample,
    PyramidNetwork,
    PyramidPooling,
    Rescale,
    SpatialPyramidPooling,
    UNet,
)
from neurenix.testing import random_array

MODELS = {
    "unet": lambda: UNet(2, 1, [2, 3], norm="group"),
    "unet-batch": lambda: UNet(2, 2, [2], final_activation="softmax"),
    "pyramid": lambda: PyramidNetwork(2, 1, 2, 2, norm="instance"),
    "concat": lambda: MultiScaleModel([1.0, 0.5], nx.nn.Conv2d(2, 2, kernel_size=3, padding=1)),
    "attention": lambda: MultiScaleModel([1.0, 0.5], None, "attention"),
    "windows": lambda: MultiScalePooling([2, 3]),
    "bins": lambda: SpatialPyramidPooling(2),
    "context": lambda: PyramidPooling(2, 3, [1, 2]),
    "rescale": lambda: Rescale(0.5),
    "scales": lambda: MultiScaleTransform([0.5]),
    "convnext": lambda: ConvNeXtEncoder(2, depths=[1, 1], widths=[2, 3], stochastic_depth_prob=0.5, layer_scale=0.5),
    "levels": lambda: PyramidDownsample(2),
}


def run(model, device):
    x = nx.Tensor(random_array(2, 2, 6, 5, dtype=np.float32)).to(device=device).requires_grad_()
    y = model(x)
    y = y[-1] if isinstance(y, list) else y
    assert y.device.startswith(device)
    (y * y).sum().backward()
    return [t.numpy() for t in (y, x.grad, *(p.grad for p in model.parameters()))]


@pytest.mark.devices
@pytest.mark.parametrize("name", MODELS)
def test_models(name, device):
    nx.manual_seed(3)
    model = MODELS[name]()
    want = run(model, "cpu")
    model.zero_grad()
    for got, w in zip(run(model.to(device=device), device), want, strict=True):
        np.testing.assert_allclose(got, w, rtol=2e-4, atol=2e-5)


@pytest.mark.devices
def test_fusion(device):
    maps = [random_array(1, c, 6 - c, 5, dtype=np.float32) for c in (2, 3)]
    for make in (lambda: FeatureFusion([2, 3], 2), lambda: FeatureFusion([2, 3], 3, "sum"), lambda: AttentionFusion([2, 3], 2)):
        fuse = make()
        want = fuse(maps).numpy()
        got = fuse.to(device=device)([nx.Tensor(m).to(device=device) for m in maps])
        np.testing.assert_allclose(got.numpy(), want, rtol=2e-4, atol=2e-5)


@pytest.mark.devices
def test_files_checkpointing_and_features(device, tmp_path):
    nx.manual_seed(3)
    model = UNet(2, 1, [2], norm="group").to(device=device)
    x = nx.Tensor(random_array(1, 2, 5, 4, dtype=np.float32)).to(device=device)
    with nx.enable_gradient_checkpointing():
        y = model(x)
    y.sum().backward()
    nx.save(model, tmp_path / "model.nx")
    again = nx.load(tmp_path / "model.nx").to(device=device)
    with nx.no_grad():
        np.testing.assert_array_equal(again(x).numpy(), y.numpy())
        assert [f.shape for f in again.get_encoder_features()] == [(1, 2, 5, 4), (1, 4, 3, 2)]
