"""Encoders under the models that take their maps: shapes at odd sizes, gradients down to the first convolution, files."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.multiscale import ConvNeXtEncoder, FeaturePyramidNetwork, PlainConvEncoder, ResNetEncoder, UNet

ENCODERS = {
    "resnet18": lambda: ResNetEncoder(18, 2),
    "few maps": lambda: ResNetEncoder(18, 2, out_indices=[0, 1, 2]),
    "dilated": lambda: ResNetEncoder(50, 2, replace_stride_with_dilation=[False, False, True]),
    "plain": lambda: PlainConvEncoder(2, [4, 8, 8]),
    "convnext": lambda: ConvNeXtEncoder(2, depths=[1, 1, 1], widths=[8, 12, 16], layer_scale=1.0),
}


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)
def test_unet_over_an_encoder(make):
    encoder = make()
    model = UNet(2, 3, encoder=encoder, final_activation=None)
    for size in [(1, 1), (37, 22)]:
        assert model(nx.randn(2, 2, *size)).shape == (2, 3, *size)
    assert [f.shape[1] for f in model.get_encoder_features()] == encoder.out_channels
    model(nx.randn(2, 2, 24, 24)).pow(2).mean().backward()
    grads = [p.grad for p in encoder.parameters()]
    assert all(g is not None and np.isfinite(g.numpy()).all() for g in grads) and np.abs(grads[0].numpy()).max() > 0


def test_a_unet_over_an_encoder_is_saved_whole(tmp_path):
    model = UNet(2, 1, encoder=ResNetEncoder(18, 2, out_indices=[0, 1])).eval()
    nx.save(model, tmp_path / "model.nx")
    x = nx.randn(1, 2, 17, 9)
    assert np.array_equal(nx.load(tmp_path / "model.nx")(x).numpy(), model(x).numpy())


def test_feature_pyramid_over_an_encoder():
    encoder = ResNetEncoder(18, 2, out_indices=[1, 2, 3, 4])
    pyramid = FeaturePyramidNetwork(encoder.out_channels, 8)
    maps = pyramid(encoder(nx.randn(2, 2, 40, 33)))
    assert [m.shape for m in maps] == [(2, 8, 10, 9), (2, 8, 5, 5), (2, 8, 3, 3), (2, 8, 2, 2)]
    sum(m.sum() for m in maps).backward()
    assert np.abs(encoder.conv1.weight.grad.numpy()).max() > 0
