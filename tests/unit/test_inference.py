import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.inference import predict
from neurenix.normalization import Normalization


class Same(nx.nn.Module):
    """A model whose output is its input, which it remembers."""

    def __init__(self, in_channels=None, keep=slice(None)):
        self.in_channels, self.keep = in_channels, keep
        self.factor = nx.nn.Parameter([1.0])

    def forward(self, x):
        self._seen, self._training = x.numpy(), self.training
        y = x * self.factor
        assert not y.requires_grad
        return y[:, self.keep]


RNG = np.random.default_rng(0)
GREY, RGB = RNG.random((5, 7), np.float32), RNG.random((5, 7, 3), np.float32)


def test_the_result_has_the_form_of_the_image():
    assert np.array_equal(predict(Same(1), GREY), GREY)
    assert np.array_equal(predict(Same(3), RGB), RGB)
    assert np.array_equal(predict(Same(3), RGB.transpose(2, 0, 1)), RGB.transpose(2, 0, 1))
    assert np.array_equal(predict(Same(3), RGB.transpose(2, 0, 1)[None]), RGB.transpose(2, 0, 1)[None])
    one = slice(0, 1)
    assert np.array_equal(predict(Same(3, one), RGB), RGB[..., 0])
    assert np.array_equal(predict(Same(1), GREY[None]), GREY)
    assert predict(Same(3, one), RGB.transpose(2, 0, 1)[None]).shape == (1, 1, 5, 7)


def test_kinds_in_are_kinds_out():
    out = predict(Same(), nx.Tensor(GREY))
    assert isinstance(out, nx.Tensor)
    assert out.dtype == np.float32
    assert type(predict(Same(), GREY)) is np.ndarray
    assert type(predict(Same(), GREY.tolist())) is np.ndarray


@pytest.mark.parametrize(("dtype", "most"), [(np.uint8, 255), (np.uint16, 65535)])
def test_integers_are_divided_by_their_largest_value(dtype, most):
    image = np.array([[0, 1, most]], dtype)
    assert np.array_equal(predict(Same(), image), image.astype(np.float32) / np.float32(most))


def test_a_models_own_normalization_is_applied():
    model = Same(3)
    image = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 1.0)
    want = (image.astype(np.float32) / np.float32(255) - np.float32(mean)) / np.float32(std)
    for stored in (Normalization(mean, std), Normalization(list(mean), list(std), 255)):
        model.input_normalization = stored
        assert np.array_equal(predict(model, image), want)
    model.input_normalization = Normalization(1.0, 2.0)
    assert np.array_equal(predict(model, RGB), (RGB - 1) / np.float32(2))
    model.input_normalization = Normalization(scale=10.0)
    assert np.array_equal(predict(model, RGB), RGB / np.float32(10))


def test_the_model_is_left_as_it_was():
    model = nx.nn.Sequential(Same(), Same())
    model[1].eval()
    predict(model, GREY)
    assert (model.training, model[0].training, model[1].training) == (True, True, False)
    assert model[0]._training is False
    with pytest.raises(ShapeError):
        predict(Same(1), RGB)
    assert model.training


def test_averaging_sees_all_eight_symmetries_and_undoes_them():
    seen = []

    class Left(Same):
        """Adds one to the left column of what it sees."""

        def forward(self, x):
            seen.append(x.numpy().tobytes() + bytes(x.shape))
            ramp = np.zeros(x.shape, np.float32)
            ramp[..., 0] = 1
            return x + ramp

    out = predict(Left(1), GREY, tta=True) - GREY
    assert len(set(seen)) == 8
    ring = np.zeros((5, 7))
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        ring[edge] += 0.25
    assert np.allclose(out, ring, atol=1e-6)


def test_double_models_take_any_image():
    assert predict(Same(1).double(), GREY).dtype == np.float64
    assert predict(Same(1), GREY.astype(np.float64)).dtype == np.float32


def test_an_open_shape_is_settled_by_the_caller():
    image = RNG.random((3, 5, 3), np.float32)
    assert np.array_equal(predict(Same(3, slice(0, 1)), image), image[0])
    assert np.array_equal(predict(Same(3, slice(0, 1)), image, channel_axis=-1), image[..., 0])
    assert predict(Same(), np.zeros((6, 5, 4))).shape == (6, 5, 4)
    assert predict(Same(keep=slice(0, 1)), np.zeros((6, 5, 4))).shape == (6, 5)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: predict(GREY, Same()), DTypeError, "expected a Module, got ndarray"),
        (lambda: predict(Same(1), RGB), ShapeError, r"expected an image of 1 channels, got shape \(5, 7, 3\)"),
        (lambda: predict(Same(3), GREY), ShapeError, "select or stack channels"),
        (lambda: predict(Same(), GREY[0]), ShapeError, r"expected an image \(H, W\)"),
        (lambda: predict(Same(), RGB, channel_axis=1), ArgumentError, "expected channel_axis 0 or -1, got 1"),
        (
            lambda: Normalization((1, 2), (1,))(RGB.transpose(2, 0, 1)),
            ShapeError,
            r"expected \(..., 2, H, W\) for 2 of mean, got \(3, 5, 7\)",
        ),
        (lambda: Normalization(std=0), ArgumentError, "expected std and scale above 0, got std=0"),
        (lambda: Normalization(mean=[]), ArgumentError, "expected mean to be a finite number or some"),
        (lambda: Normalization(scale=float("nan")), ArgumentError, "expected scale to be a finite number"),
        (lambda: Normalization(mean="dark"), ArgumentError, "got 'dark'"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_unfit_models_and_normalizations_are_named():
    class Several(Same):
        def forward(self, x):
            return [x]

    class Pooled(Same):
        def forward(self, x):
            return x[:, :, :1]

    with pytest.raises(DTypeError, match="expected a model that returns one tensor, got list"):
        predict(Several(), GREY)
    with pytest.raises(ShapeError, match="pass tta=False"):
        predict(Pooled(), GREY, tta=True)
    model = Same()
    model.input_normalization = {"average": 3}
    with pytest.raises(ArgumentError, match="expected input_normalization to be a Normalization"):
        predict(model, GREY)


def test_a_file_keeps_the_normalization(tmp_path):
    model = nx.nn.Sequential(nx.nn.Conv2d(1, 1, 1))
    model.input_normalization = Normalization(0.25, [0.5])
    nx.save(model, tmp_path / "model.nx")
    loaded = nx.load(tmp_path / "model.nx")
    assert nx.predict(loaded, GREY).tobytes() == nx.predict(model, GREY).tobytes()
    assert (loaded.input_normalization.mean, loaded.input_normalization.std) == ((0.25,), (0.5,))
    assert list(loaded.state_dict()) == ["0.weight", "0.bias"]
