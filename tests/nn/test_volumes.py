"""Layers of volumes: they call their functions, print as PyTorch's, take unbatched volumes."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, random_array

X = random_array(2, 4, 5, 6, 7, dtype=np.float32)


@pytest.mark.parametrize(
    ("layer", "function", "text"),
    [
        (nn.MaxPool3d(2), lambda x: F.max_pool3d(x, 2), "MaxPool3d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
        (nn.AvgPool3d((1, 2, 2), 1), lambda x: F.avg_pool3d(x, (1, 2, 2), 1), "AvgPool3d(kernel_size=(1, 2, 2), stride=1, padding=0)"),
        (
            nn.AdaptiveAvgPool3d((1, None, 2)),
            lambda x: F.adaptive_avg_pool3d(x, (1, None, 2)),
            "AdaptiveAvgPool3d(output_size=(1, None, 2))",
        ),
        (nn.AdaptiveMaxPool3d(2), lambda x: F.adaptive_max_pool3d(x, 2), "AdaptiveMaxPool3d(output_size=2)"),
        (nn.LPPool3d(2, 3), lambda x: F.lp_pool3d(x, 2, 3), "LPPool3d(norm_type=2, kernel_size=3, stride=None, ceil_mode=False)"),
        (nn.ConstantPad3d(1, 2.5), lambda x: F.pad(x, (1,) * 6, value=2.5), "ConstantPad3d(padding=(1, 1, 1, 1, 1, 1), value=2.5)"),
        (nn.ZeroPad3d((1, 0, 0, 2, -1, 0)), lambda x: F.pad(x, (1, 0, 0, 2, -1, 0)), "ZeroPad3d((1, 0, 0, 2, -1, 0))"),
        (nn.ReflectionPad3d(1), lambda x: F.pad(x, (1,) * 6, "reflect"), "ReflectionPad3d((1, 1, 1, 1, 1, 1))"),
        (nn.ReplicationPad3d(1), lambda x: F.pad(x, (1,) * 6, "replicate"), "ReplicationPad3d((1, 1, 1, 1, 1, 1))"),
        (nn.CircularPad3d(1), lambda x: F.pad(x, (1,) * 6, "circular"), "CircularPad3d((1, 1, 1, 1, 1, 1))"),
        (nn.Dropout3d(0.25).eval(), lambda x: x, "Dropout3d(p=0.25, inplace=False)"),
        (
            nn.Upsample(scale_factor=2, mode="trilinear"),
            lambda x: F.interpolate(x, None, 2, "trilinear"),
            "Upsample(scale_factor=2.0, mode='trilinear')",
        ),
    ],
    ids=lambda p: type(p).__name__ if isinstance(p, nn.Module) else "",
)
def test_layers_call_the_functions(layer, function, text):
    assert_same_bits(layer(X).numpy(), np.asarray(function(X)))
    assert repr(layer) == text


def test_convolutions():
    layer = nn.Conv3d(4, 6, (1, 3, 2), stride=2, padding=(0, 1, 1), dilation=(1, 1, 2), groups=2)
    assert_same_bits(layer(X).numpy(), F.conv3d(X, layer.weight, layer.bias, 2, (0, 1, 1), (1, 1, 2), 2).numpy())
    assert layer.weight.shape == (6, 2, 1, 3, 2)
    assert repr(layer) == ("Conv3d(4, 6, kernel_size=(1, 3, 2), stride=(2, 2, 2), padding=(0, 1, 1), dilation=(1, 1, 2), groups=2)")
    layer = nn.ConvTranspose3d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, bias=False)
    assert_same_bits(layer(X[0]).numpy(), F.conv_transpose3d(X[0], layer.weight, None, 2, 1, 1, 2).numpy())
    assert layer.weight.shape == (4, 3, 3, 3, 3)
    assert repr(layer).startswith(
        "ConvTranspose3d(4, 6, kernel_size=(3, 3, 3), stride=(2, 2, 2), padding=(1, 1, 1), output_padding=(1, 1, 1)"
    )
    layer = nn.ConvTranspose3d(4, 2, 2, stride=2)
    assert layer(X, output_size=(11, 12, 15)).shape == (2, 2, 11, 12, 15)
    with pytest.raises(ShapeError, match=r"ConvTranspose3d: expected output_size from \(10, 12, 14\)"):
        layer(X, output_size=(9, 12, 14))


@pytest.mark.parametrize(("mode", "numpy_mode"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
def test_padding_modes(mode, numpy_mode):
    layer = nn.Conv3d(4, 3, (3, 1, 2), padding="same", padding_mode=mode)
    padded = np.pad(X, ((0, 0), (0, 0), (1, 1), (0, 0), (0, 1)), mode=numpy_mode)
    assert_same_bits(layer(X).numpy(), F.conv3d(padded, layer.weight, layer.bias).numpy())


def test_initial_values_fill_pytorchs_range():
    layer = nn.Conv3d(8, 16, 3)
    bound = 1 / np.sqrt(8 * 27)
    assert 0.95 * bound < np.abs(layer.weight.numpy()).max() <= bound
    assert np.abs(layer.bias.numpy()).max() <= bound


def test_unpooling_undoes_pooling():
    y, where = nn.MaxPool3d(2, return_indices=True)(X)
    back = nn.MaxUnpool3d(2)(y, where, output_size=X.shape)
    assert_same_bits(nn.MaxPool3d(2)(np.where(back.numpy() == 0, -9.0, back.numpy()).astype(np.float32)).numpy(), y.numpy())
    assert repr(nn.MaxUnpool3d(2)) == "MaxUnpool3d(kernel_size=(2, 2, 2), stride=(2, 2, 2), padding=(0, 0, 0))"
    line, where = nn.MaxPool1d(2, return_indices=True)(X[0, 0])
    assert nn.MaxUnpool1d(2)(line, where).shape == (5, 6, 6)


def test_layers_keep_channels_last():
    x = nn.Conv3d(4, 3, 3, padding=1)(X)
    for y in (nn.ReLU()(x), nn.BatchNorm3d(3)(x), nn.MaxPool3d(2)(x), nn.AvgPool3d(2)(x), nn.ZeroPad3d(1)(x), nx.cat([x, x], 1), x + x):
        assert y._array.transpose(0, 2, 3, 4, 1).flags.c_contiguous
        assert not y._array.flags.c_contiguous


def test_instance_norm_of_volumes():
    y = nn.InstanceNorm3d(4)(X).numpy()
    np.testing.assert_allclose(y.mean(axis=(2, 3, 4)), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(axis=(2, 3, 4)), 1, rtol=1e-3)
    assert_same_bits(nn.InstanceNorm3d(4)(X[0]).numpy(), y[0])
    with pytest.raises(ShapeError, match="InstanceNorm3d: expected an input with 5 axes"):
        nn.InstanceNorm3d(4)(X[0, 0])


def test_channels_are_dropped_whole():
    for layer, x, lead in (
        (nn.Dropout1d(), X[:, :, 0, 0], 2),
        (nn.Dropout1d(), X[0, :, 0, 0], 1),
        (nn.Dropout3d(), X, 2),
        (nn.Dropout3d(), X[0], 1),
    ):
        kept = (layer(x).numpy() != 0).reshape(*x.shape[:lead], -1)
        assert (kept.all(axis=-1) | ~kept.any(axis=-1)).all()
    y = nn.FeatureAlphaDropout()(X).numpy().reshape(8, -1)
    same = np.ptp(y, axis=1) == 0
    assert 0 < same.sum() < 8
    assert_same_bits(nn.FeatureAlphaDropout().eval()(X).numpy(), X)
    with pytest.raises(ShapeError, match=r"dropout3d: expected \(N, C, D, H, W\)"):
        F.dropout3d(X[0, 0])


def test_a_volume_network_learns_and_is_saved(tmp_path):
    def block(i, o):
        return nn.Sequential(nn.Conv3d(i, o, 3, padding=1, bias=False), nn.BatchNorm3d(o), nn.ReLU())

    nx.random.manual_seed(0)
    model = nn.Sequential(block(1, 4), nn.MaxPool3d(2), block(4, 8), nn.ConvTranspose3d(8, 4, 2, stride=2), nn.ReLU(), nn.Conv3d(4, 1, 1))
    x = random_array(2, 1, 8, 8, 8, dtype=np.float32)
    target = (x > 0.5).astype(np.float32)
    optimizer = nx.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        loss = F.binary_cross_entropy_with_logits(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    for _ in range(3):  # statistics of few updates are warned about in evaluation
        model(x)
    nx.save(model.eval(), tmp_path / "volume.safetensors")
    assert_same_bits(nx.load(tmp_path / "volume.safetensors").eval()(x).numpy(), model(x).numpy())


@pytest.mark.parametrize(
    ("text", "make"),
    [
        ("Conv3d: expected kernel_size as one integer or 3", lambda: nn.Conv3d(1, 1, (3, 3))),
        ("MaxPool3d: expected padding of at most half", lambda: nn.MaxPool3d(2, padding=2)),
        ("AvgPool3d: expected stride of at least 1", lambda: nn.AvgPool3d(2, 0)),
        ("AdaptiveMaxPool3d: expected output_size as one number or 3", lambda: nn.AdaptiveMaxPool3d((1, 2))),
        ("ZeroPad3d: expected padding as one number or 6", lambda: nn.ZeroPad3d((1, 1))),
        ("LPPool3d: expected kernel_size of at least 1", lambda: nn.LPPool3d(2, 0)),
    ],
)
def test_constructors_check(text, make):
    with pytest.raises(ArgumentError, match=text):
        make()
