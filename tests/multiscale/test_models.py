"""One model at several scales: identity, fusion, scales that come and go, base models of all kinds."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.multiscale import MultiScaleModel, UNet
from neurenix.nn import functional
from neurenix.testing import assert_same_bits, check_gradient, random_array

METHODS = ["concat", "sum", "attention"]


def base():
    nx.manual_seed(2)
    return nn.Sequential(nn.Conv2d(3, 4, kernel_size=3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, kernel_size=3, padding=1))


def image(*shape, dtype=np.float32):
    return random_array(*shape, dtype=dtype)


@pytest.mark.parametrize("method", METHODS)
def test_one_scale_of_one_is_the_base_model(method):
    model = MultiScaleModel([1.0], base(), method)
    x = image(2, 3, 9, 7)
    assert_same_bits(model(x), model.base_model(x))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 12), (3, 1)])
def test_shapes(method, size):
    model = MultiScaleModel([0.5, 1.0, 0.25], base(), method)
    y = model(image(2, 3, *size))
    assert y.shape == (2, 6 if method == "concat" else 2, *size)
    y.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_concat_and_sum_of_resized_images():
    x = image(1, 2, 6, 4, dtype=np.float64)
    half = functional.interpolate(x, size=(3, 2), mode="bilinear")
    back = functional.interpolate(half, size=(6, 4), mode="bilinear").numpy()
    assert_same_bits(MultiScaleModel([1.0, 0.5])(x), np.concatenate([x, back], axis=1))
    assert_same_bits(MultiScaleModel([1.0, 0.5], fusion_method="sum")(x), x + back)
    smooth = functional.interpolate(x, size=(3, 2), mode="bilinear", antialias=True)
    want = functional.interpolate(smooth, size=(6, 4), mode="bilinear").numpy()
    assert_same_bits(MultiScaleModel([1.0, 0.5], antialias=True)(x).numpy()[:, 2:], want)


def test_the_largest_scale_gives_the_size():
    assert MultiScaleModel([0.5, 0.25])(image(1, 3, 16, 12)).shape == (1, 6, 8, 6)
    assert MultiScaleModel([0.5, 2])(image(1, 3, 4, 4)).shape == (1, 6, 8, 8)
    down = nn.Sequential(nn.Conv2d(3, 2, kernel_size=3, stride=2, padding=1))
    assert MultiScaleModel([1.0, 0.5], down)(image(1, 3, 9, 8)).shape == (1, 4, 5, 4)


def test_attention():
    model = MultiScaleModel([1.0, 0.5], fusion_method="attention").double()
    assert [(n, p.shape) for n, p in model.named_parameters()] == [("score.weight", (1, 2, 3, 3))]
    x = np.full((1, 3, 4, 4), 2.5)
    np.testing.assert_allclose(model(x).numpy(), 2.5, rtol=1e-12)
    model.add_scale(0.25)
    assert model.num_parameters() == 18
    np.testing.assert_allclose(model(x).numpy(), 2.5, rtol=1e-12)


class Vector(nn.Module):
    def __init__(self):
        self.linear = nn.Linear(3, 5)

    def forward(self, x):
        return self.linear(x.mean(dim=[2, 3]))


@pytest.mark.parametrize("method", METHODS)
def test_vectors(method):
    model = MultiScaleModel([1.0, 0.5, 0.25], Vector(), method)
    y = model(image(2, 3, 8, 8))
    assert y.shape == (2, 15 if method == "concat" else 5)
    y.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_scales_come_and_go():
    model = MultiScaleModel(scales=[1.0, 0.5])
    model.add_scale(0.3)
    assert model.scales == [1.0, 0.5, 0.3]
    model.remove_scale(0.1 + 0.2)
    model.remove_scale(1)
    assert model.scales == [0.5]
    assert model(image(1, 3, 8, 8)).shape == (1, 3, 4, 4)
    for act, scale, text in [
        (model.add_scale, 0.5, r"add_scale: expected a new scale, got 0.5, which is among \[0.5\]"),
        (model.add_scale, 0, "add_scale: expected scale as a finite number above 0, got 0"),
        (model.add_scale, "1", "add_scale: expected scale as a finite number above 0, got '1'"),
        (model.add_scale, float("inf"), "got inf"),
        (model.remove_scale, 0.7, r"remove_scale: expected one of \[0.5\], got 0.7"),
        (model.remove_scale, 0.5, "remove_scale: expected to keep a scale, got the last one, 0.5"),
    ]:
        with pytest.raises(ArgumentError, match=text):
            act(scale)
        assert model.scales == [0.5]
    assert issubclass(ArgumentError, ValueError)


def test_weights_are_shared_and_registered_once():
    inner = base()
    model = MultiScaleModel([1.0, 0.5], inner)
    assert list(model.parameters()) == [] or all(a is b for a, b in zip(model.parameters(), inner.parameters(), strict=True))
    assert [n for n, _ in model.named_parameters()] == [f"base_model.{n}" for n, _ in inner.named_parameters()]


@pytest.mark.parametrize("method", METHODS)
def test_gradient(method):
    model = MultiScaleModel([1.0, 0.5], base(), method).double()
    check_gradient(model, image(1, 3, 6, 5, dtype=np.float64), tolerance=1e-5)


@pytest.mark.filterwarnings("ignore::neurenix.errors.NeurenixWarning")
@pytest.mark.parametrize(
    "make", [base, lambda: nn.Conv2d(3, 2, kernel_size=1), lambda: None, lambda: UNet(3, 2, [4]), lambda: MultiScaleModel([1, 0.5], base())]
)
def test_gradient_checkpointing_has_the_same_bits(make):
    def run(checkpointed):
        nx.manual_seed(4)
        model = MultiScaleModel([1.0, 0.5, 0.3], make())
        x = nx.Tensor(image(1, 3, 9, 8), requires_grad=True)
        if checkpointed:
            with nx.enable_gradient_checkpointing():
                y = model(x)
        else:
            y = model(x)
        (y * y).sum().backward()
        return [y.numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters()), *(t.numpy() for t in model.state_dict().values())]

    for a, b in zip(run(False), run(True), strict=True):
        assert_same_bits(b, a)


def test_base_models_that_give_something_else():
    class Wrong(nn.Module):
        def __init__(self, value):
            self.value = value

        def forward(self, x):
            return self.value

    for value, got in [([1], "list"), (nx.Tensor(shape=(1, 2, 3)), r"shape \(1, 2, 3\)"), (None, "NoneType")]:
        with pytest.raises(ShapeError, match=rf"MultiScaleModel: expected base_model to give \(N, C, H, W\) or \(N, F\), got {got}"):
            MultiScaleModel([1.0, 0.5], Wrong(value))(image(1, 3, 4, 4))
    with pytest.raises(DTypeError, match="MultiScaleModel: expected base_model as a module or None, got function"):
        MultiScaleModel([1.0], lambda x: x)


def test_final_activation():
    x = image(1, 3, 4, 4)
    y = MultiScaleModel([1.0], final_activation="softmax")(x)
    np.testing.assert_allclose(y.numpy().sum(axis=1), 1, rtol=1e-6)
    assert y._logits[0] == "softmax"


def test_files(tmp_path):
    model = MultiScaleModel([1.0, 0.5], base(), "attention", antialias=True)
    model.add_scale(0.25)
    model.remove_scale(0.5)
    nx.save(model, tmp_path / "model.nx")
    got = nx.load(tmp_path / "model.nx")
    assert got.scales == [1.0, 0.25]
    assert got.antialias
    x = image(1, 3, 8, 8)
    assert_same_bits(got(x), model(x))
    model.base_model = nn.Conv2d(3, 7, kernel_size=1)
    nx.save(model, tmp_path / "model.nx")
    got = nx.load(tmp_path / "model.nx")
    assert_same_bits(got(x), model(x))
