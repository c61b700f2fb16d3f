"""Encoders: torchvision's names, maps and gradients (values in encoders.json, written by tests/tools/make_encoder_golden.py)."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from formula import image, weights

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError, StateError
from neurenix.multiscale import ConvNeXtEncoder, ResNetEncoder, convnext_tiny, resnet18, resnet34, resnet50

GOLDEN = json.loads((Path(__file__).parent / "encoders.json").read_text())
MAKERS = {"resnet18": resnet18, "resnet34": resnet34, "resnet50": resnet50, "convnext_tiny": convnext_tiny}


def filled(name, **settings):
    model = MAKERS[name](**settings).double().eval()
    nx.load_weights(model, weights({n: t.shape for n, t in model.state_dict().items()}))
    return model


def samples(array):
    flat = np.ascontiguousarray(array).ravel()
    return np.array([*flat[np.linspace(0, flat.size - 1, 8).astype(int)], flat.mean()])


@pytest.mark.parametrize("name", GOLDEN)
def test_torchvisions_names_maps_and_gradients(name):
    golden, model = GOLDEN[name], filled(name)
    text = "\n".join(sorted(f"{n} {t.shape}" for n, t in model.state_dict().items()))
    assert hashlib.sha256(text.encode()).hexdigest() == golden["state"]
    x = nx.tensor(image((2, 3, *golden["size"])), requires_grad=True)
    maps = model(x)
    assert [list(m.shape) for m in maps] == golden["shapes"]
    assert [m.shape[1] for m in maps] == model.out_channels
    for m, want in zip(maps, golden["maps"], strict=True):
        np.testing.assert_allclose(samples(m.numpy()), want, rtol=1e-10, atol=1e-12)
    sum((m * m).sum() for m in maps).backward()
    np.testing.assert_allclose(samples(x.grad.numpy()), golden["gradient"], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 2), (31, 33)])
@pytest.mark.parametrize("model", [ResNetEncoder(18), ConvNeXtEncoder(depths=[1, 1, 1], widths=[4, 8, 12])], ids=["resnet", "convnext"])
def test_every_size_rounds_up(model, size):
    maps = model.eval()(nx.randn(1, 3, *size))
    assert [m.shape[2:] for m in maps] == [tuple(-(-n // s) for n in size) for s in model.strides]
    assert all(np.isfinite(m.numpy()).all() for m in maps)


def test_convnext_completes_patches_with_zeros():
    model = ConvNeXtEncoder(depths=[1], widths=[4]).eval()
    x = nx.randn(1, 3, 6, 9)
    padded = nx.nn.functional.pad(x, (0, 3, 0, 2))
    assert np.array_equal(model(x)[0].numpy(), model(padded)[0].numpy())


def test_only_chosen_maps_and_their_stages():
    model = ResNetEncoder(18, out_indices=[1, 3])
    assert (model.out_channels, model.strides) == ([64, 256], [4, 16])
    assert not hasattr(model, "layer4")
    full = ResNetEncoder(18)
    nx.load_weights(model, full.state_dict(), ignore=["layer4."])
    x = nx.randn(1, 3, 32, 32)
    model.eval(), full.eval()
    for a, b in zip(model(x), [full(x)[1], full(x)[3]], strict=True):
        assert np.array_equal(a.numpy(), b.numpy())


def test_dilated_layers_keep_their_size():
    model = ResNetEncoder(50, replace_stride_with_dilation=[False, True, True], out_indices=[2, 3, 4])
    assert model.strides == [8, 8, 8]
    assert [m.shape for m in model(nx.randn(2, 3, 32, 24))] == [(2, c, 4, 3) for c in (512, 1024, 2048)]
    assert model.layer4[1].conv2.dilation == (4, 4)


def test_classifiers_and_stages_that_are_not_there_are_left_out():
    full = {**ResNetEncoder(18).state_dict(), "fc.weight": np.zeros((1000, 512)), "fc.bias": np.zeros(1000)}
    model = resnet18(weights=full, out_indices=[0, 1, 2])
    assert np.array_equal(model.conv1.weight.numpy(), full["conv1.weight"].numpy())
    tiny = {**ConvNeXtEncoder().state_dict(), "classifier.0.weight": np.zeros(768)}
    model = convnext_tiny(weights=tiny, out_indices=[0])
    assert np.array_equal(model.features[0][0].weight.numpy(), tiny["features.0.0.weight"].numpy())


def test_weights_of_another_network_are_named():
    with pytest.raises(StateError, match=r"missing .*layer1\.0\.conv3\.weight"):
        resnet50(weights=ResNetEncoder(18).state_dict())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_first_convolution_fits_other_images(channels):
    state = ResNetEncoder(18, out_indices=[0]).state_dict()
    three, model = resnet18(weights=state, out_indices=[0]), resnet18(weights=state, in_channels=channels, out_indices=[0])
    grey = nx.randn(1, 1, 16, 16)
    want = three.conv1(nx.cat([grey] * 3, dim=1)).numpy()
    if channels < 4:  # the fourth channel has the first one's weights once more
        assert np.abs(model.conv1(nx.cat([grey] * channels, dim=1)).numpy() - want).max() < {1: 1e-5, 2: np.inf, 3: 1e-7}[channels]
    assert model.conv1.weight.shape == (64, channels, 7, 7)
    if channels == 4:
        w = state["conv1.weight"].numpy()
        np.testing.assert_allclose(model.conv1.weight.numpy(), w[:, [0, 1, 2, 0]] * np.float32(0.75))


def test_stochastic_depth_leaves_out_branches_of_whole_images():
    model = ConvNeXtEncoder(depths=[2], widths=[4], stochastic_depth_prob=1.0, layer_scale=1.0)
    assert [b.drop for b in model.features[1]] == [0.0, 1.0]
    x = nx.randn(3, 4, 5, 5)
    last = model.features[1][1]
    assert np.array_equal(last(x).numpy(), x.numpy())
    last.drop, seen = 0.5, set()
    branch = last.eval()(x).numpy() - x.numpy()
    last.train()
    for _ in range(20):
        y = last(x).numpy() - x.numpy()
        for i in range(3):
            kept = y[i].any()
            np.testing.assert_allclose(y[i], 2 * branch[i] * kept, atol=1e-5)
            seen.add(bool(kept))
    assert seen == {True, False}


def test_checkpointed_gradients_are_the_same_bits():
    x = nx.randn(2, 3, 32, 32)
    got = []
    for checkpointed in (False, True):
        nx.manual_seed(3)
        model = ConvNeXtEncoder(depths=[1, 1], widths=[8, 16], stochastic_depth_prob=0.5)
        if checkpointed:
            with nx.enable_gradient_checkpointing():
                maps = model(x)
        else:
            maps = model(x)
        sum(m.sum() for m in maps).backward()
        got.append([p.grad.numpy() for p in model.parameters()])
    assert all(np.array_equal(a, b) for a, b in zip(*got, strict=True))


@pytest.mark.parametrize("make", [lambda: ResNetEncoder(18, 2, out_indices=[0, 1]), lambda: ConvNeXtEncoder(2, depths=[1], widths=[4])])
def test_saved_and_loaded(make, tmp_path):
    model = make().eval()
    nx.save(model, tmp_path / "encoder.nx")
    again, x = nx.load(tmp_path / "encoder.nx"), nx.randn(1, 2, 9, 9)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(model(x), again(x), strict=True))


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: ResNetEncoder(20), ArgumentError, "ResNetEncoder: expected depth 18, 34 or 50, got 20; pass one of them"),
        (lambda: ResNetEncoder(18, 0), ArgumentError, "ResNetEncoder: expected in_channels of at least 1, got 0"),
        (lambda: ResNetEncoder(18, replace_stride_with_dilation=[True] * 3), ArgumentError, "of which one is True at depth 50 only"),
        (lambda: ResNetEncoder(50, replace_stride_with_dilation=[1, 0, 0]), ArgumentError, "replace_stride_with_dilation True or False"),
        (lambda: ResNetEncoder(50, out_indices=[3, 2]), ArgumentError, "out_indices as rising numbers of maps from 0 to 4, got [3, 2]"),
        (lambda: ResNetEncoder(50, out_indices=[5]), ArgumentError, "out_indices as rising numbers of maps from 0 to 4, got [5]"),
        (lambda: ResNetEncoder(50, out_indices=[]), ArgumentError, "out_indices as rising numbers of maps from 0 to 4, got []"),
        (lambda: ConvNeXtEncoder(depths=[1, 2], widths=[4]), ArgumentError, "as many depths as widths, got [1, 2] and [4]"),
        (lambda: ConvNeXtEncoder(stochastic_depth_prob=1.5), ArgumentError, "stochastic_depth_prob in [0, 1], got 1.5"),
        (lambda: ConvNeXtEncoder(depths=0), ArgumentError, "ConvNeXtEncoder: expected depths as a list of integers, got 0"),
        (lambda: ResNetEncoder(18)(nx.randn(1, 1, 8, 8)), ShapeError, "ResNetEncoder: expected x with 3 channels"),
        (lambda: ResNetEncoder(18)(nx.Tensor(shape=(1, 3, 8, 8), dtype="int64")), DTypeError, "ResNetEncoder: expected float32 or float64"),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind) as raised:
        call()
    assert text in str(raised.value)
