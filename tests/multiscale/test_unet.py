"""U-Net and pyramid network: parameters, sizes, features, checkpointing, files."""

import copy

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import DTypeError, GraphError, NeurenixWarning, ShapeError
from neurenix.multiscale import PyramidNetwork, UNet
from neurenix.testing import assert_same_bits, check_gradient, random_array

SIZES = [(1, 1), (2, 3), (5, 1), (7, 9), (16, 16), (33, 18)]


def small(**kwargs):
    nx.manual_seed(1)
    return UNet(3, 2, features=[4, 6], **kwargs)


def pyramid(**kwargs):
    nx.manual_seed(1)
    return PyramidNetwork(3, 2, num_levels=3, base_channels=4, **kwargs)


MODELS = [small, pyramid]
few_values = pytest.mark.filterwarnings("ignore::neurenix.errors.NeurenixWarning")


def image(*shape, dtype=np.float32):
    return random_array(*shape, dtype=dtype)


def test_number_of_parameters():
    with nx.lazy.loading():
        model = UNet(3, 1)
    assert model.num_parameters() == 31_037_633
    assert model.training


@few_values
@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("size", SIZES)
def test_the_output_has_the_inputs_size(make, size):
    model = make()
    for n in (1, 2):
        y = model(image(n, 3, *size))
        assert y.shape == (n, 2, *size)
        assert y.dtype == np.float32
    y.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert all(np.isfinite(p.grad.numpy()).all() for p in model.parameters())


@few_values
@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("norm", ["batch", "group", "instance", None])
def test_norms(make, norm):
    model = make(norm=norm)
    found = {type(m).__name__ for m in model.modules()} & {"BatchNorm2d", "GroupNorm", "InstanceNorm2d"}
    assert found == {None: set(), "batch": {"BatchNorm2d"}, "group": {"GroupNorm"}, "instance": {"InstanceNorm2d"}}[norm]
    check = model.double().eval() if norm == "batch" else model.double()
    with nx.no_grad():
        assert check(image(1, 3, 9, 7, dtype=np.float64)).dtype == np.float64


@pytest.mark.parametrize("make", MODELS)
def test_gradient(make):
    model = make(norm="group").double()
    check_gradient(model, image(1, 3, 7, 6, dtype=np.float64), tolerance=1e-5)


@few_values
@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("activation", ["sigmoid", "softmax", None])
def test_final_activation(make, activation):
    y = make(final_activation=activation).eval()(image(1, 3, 6, 6)).numpy()
    logits = make(final_activation=None).eval()(image(1, 3, 6, 6)).numpy()
    if activation == "sigmoid":
        np.testing.assert_allclose(y, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    elif activation == "softmax":
        np.testing.assert_allclose(y, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), rtol=1e-5)
    else:
        assert_same_bits(y, logits)


def test_warns_of_channels_with_one_value():
    with pytest.warns(NeurenixWarning, match="expected more than one value a channel in training"):
        small()(image(1, 3, 2, 2))
    assert small(norm="group")(image(1, 3, 1, 1)).shape == (1, 2, 1, 1)


def test_default_activations():
    assert small().final_activation == "sigmoid"
    assert pyramid().final_activation is None


# --- features


def features_of(model):
    if isinstance(model, UNet):
        return [*model.get_encoder_features(), *model.get_decoder_features()]
    return model.get_features()


def test_feature_shapes():
    model = small()
    model(image(2, 3, 9, 6))
    assert [f.shape for f in model.get_encoder_features()] == [(2, 4, 9, 6), (2, 6, 5, 3), (2, 12, 3, 2)]
    assert [f.shape for f in model.get_decoder_features()] == [(2, 4, 9, 6), (2, 6, 5, 3)]
    other = pyramid()
    other(image(2, 3, 9, 6))
    assert [f.shape for f in other.get_features()] == [(2, 4, 9, 6), (2, 8, 5, 3), (2, 16, 3, 2)]


@pytest.mark.parametrize("make", MODELS)
def test_recorded_features_are_in_the_graph(make):
    model = make()
    model(image(1, 3, 6, 6))
    features_of(model)[-1].sum().backward()
    assert next(model.parameters()).grad is not None


@few_values
@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("training", [True, False])
def test_features_under_no_grad_are_computed_again(make, training):
    model = make().train(training)
    x = image(2, 3, 7, 6)
    with nx.no_grad():
        model(x)
        assert model._memory.features is None
        before = {n: t.numpy().copy() for n, t in model.state_dict().items()}
        got = features_of(model.eval())
        model.train(training)
        for n, t in model.state_dict().items():
            assert_same_bits(t, before[n])
        again = features_of(model)
        assert all(a is b for a, b in zip(got, again, strict=True))
        other = make().train(training)
        other._memory.keeps = True
        other(x)
        for a, b in zip(got, features_of(other), strict=True):
            assert_same_bits(a, b)
        model(x)
        assert model._memory.features is not None


@few_values
@pytest.mark.parametrize("make", MODELS)
def test_asking_at_the_wrong_time(make):
    model = make().eval()
    with pytest.raises(GraphError, match="features: expected a forward pass before it, got none; call the model"):
        features_of(model)
    x = image(1, 3, 6, 6)
    with nx.no_grad():
        model(x)
    model.head.bias.assign_(np.zeros(2, np.float32))
    with pytest.raises(RuntimeError, match="features: expected the weights of the last forward pass, got weights that changed"):
        features_of(model)
    with nx.no_grad():
        model(x)
    features_of(model)
    model.head.weight.data[...] = 0
    with pytest.raises(RuntimeError, match="weights that changed"):
        features_of(model)
    model(x)
    assert len(features_of(model)) >= 3


@few_values
@pytest.mark.parametrize("make", MODELS)
def test_a_copy_starts_without_a_last_pass(make):
    model = make()
    model(image(1, 3, 4, 4))
    twin = copy.deepcopy(model)
    with pytest.raises(GraphError):
        features_of(twin)
    model.eval()
    twin.eval()
    x = image(1, 3, 4, 4)
    assert_same_bits(twin(x), model(x))


# --- checkpointing


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_gradient_checkpointing_has_the_same_bits(make, norm):
    def run(checkpointed):
        model = make(norm=norm)
        x = nx.Tensor(image(2, 3, 9, 7), requires_grad=True)
        if checkpointed:
            with nx.enable_gradient_checkpointing():
                y = model(x)
        else:
            y = model(x)
        extra = features_of(model)[-1].sum()
        ((y * y).sum() + extra).backward()
        values = {n: t.numpy().copy() for n, t in model.state_dict().items()}
        return [y.numpy(), x.grad.numpy(), *values.values(), *(p.grad.numpy() for p in model.parameters())]

    for a, b in zip(run(False), run(True), strict=True):
        assert_same_bits(b, a)


def test_checkpointing_takes_less_memory():
    def peak(checkpointed):
        model = UNet(3, 1, features=[8, 16], norm="group")
        x = image(1, 3, 96, 96)
        nx.reset_peak()
        before = nx.memory_stats()["live"]
        if checkpointed:
            with nx.enable_gradient_checkpointing():
                y = model(x)
        else:
            y = model(x)
        live = nx.memory_stats()["live"] - before
        y.sum().backward()
        return live

    assert peak(True) < 0.8 * peak(False)


# --- arguments and inputs


@pytest.mark.parametrize("make", MODELS)
def test_wrong_inputs(make):
    model = make()
    name = type(model).__name__
    for shape, advice in [
        ((3, 8, 8), r"add the batch axis with x\[None\]"),
        ((8, 8, 3), r"it is \(H, W, C\): pass x.transpose\(2, 0, 1\)\[None\]"),
        ((8, 8), r"add batch and channel axes with x\[None, None\]"),
        ((2, 8, 8, 3), r"it is \(N, H, W, C\): pass x.transpose\(0, 3, 1, 2\)"),
        ((2, 4, 8, 8), "build the model for that many channels, or select them"),
        ((2, 3, 0, 8), "pass an image that is not empty"),
        ((1, 2, 3, 4, 5), "reshape it"),
    ]:
        with pytest.raises(ShapeError, match=f"{name}: expected .*{advice}"):
            model(image(*shape))
    with pytest.raises(DTypeError, match=f"{name}: expected a float image, got uint8.*divide it by 255"):
        model(np.zeros((1, 3, 8, 8), np.uint8))
    with pytest.raises(DTypeError, match=f"{name}: expected float32 or float64, got int64"):
        model(np.zeros((1, 3, 8, 8), np.int64))
    assert model(np.zeros((1, 3, 8, 8))).dtype == np.float32


@few_values
def test_arrays_of_every_kind(tmp_path):
    model = small().eval()
    x = image(1, 3, 6, 5)
    want = model(x)
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    mapped[...] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    last = x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    for same in (mapped, frozen, x.astype(">f4"), x[:, :, ::-1].copy()[:, :, ::-1], last, nx.Tensor(x)):
        assert_same_bits(model(same), want)
    assert model(x.astype(np.float16)).dtype == np.float32
    with pytest.raises(DTypeError, match="masked array"):
        model(np.ma.masked_array(x, x > 0))


@few_values
@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("n", [0])
def test_no_images(make, n):
    assert make().eval()(image(n, 3, 4, 4)).shape == (0, 2, 4, 4)


@pytest.mark.parametrize("make", MODELS)
def test_files(make, tmp_path):
    model = make(norm="group", final_activation=None)
    model.eval()
    nx.save(model, tmp_path / "model.nx")
    got = nx.load(tmp_path / "model.nx")
    x = image(1, 3, 7, 6)
    assert not got.training
    assert_same_bits(got(x), model(x))
    if isinstance(model, UNet):
        model.head = nn.Conv2d(4, 5, kernel_size=1)
        nx.save(model, tmp_path / "model.nx")
        assert nx.load(tmp_path / "model.nx")(x).shape == (1, 5, 7, 6)


def test_defaults_are_not_shared():
    given = [4]
    model = UNet(1, 1, given)
    given.append(8)
    model.features.append(9)
    assert UNet(1, 1, [4]).features == [4]
    with nx.lazy.loading():
        assert UNet(1, 1).features == [64, 128, 256, 512]
