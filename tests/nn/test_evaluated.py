"""What convolutions remember of a pass in evaluation is never out of date, and goes with its model."""

import copy
import gc
import pickle
import warnings
import weakref
from collections.abc import Callable

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.nn import walking

Change = Callable[[nn.Sequential], object]


def trained(norm: str = "batch", channels: int = 16) -> nn.Sequential:
    """A convolution by Winograd's algorithm and one that is not, each with a normalisation that saw batches."""
    nx.manual_seed(0)
    layer = {"batch": nn.BatchNorm2d, "instance": lambda n: nn.InstanceNorm2d(n, affine=True, track_running_stats=True)}[norm]
    model = nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1), layer(16), nn.ReLU(), nn.Conv2d(16, 5, 3, padding=1, bias=False), layer(5), nn.ReLU()
    )
    with nx.no_grad():
        for _ in range(10):
            model(nx.randn(2, channels, 12, 12) + 1.0)
    return model.eval()


X = np.random.default_rng(0).standard_normal((2, 16, 12, 12)).astype(np.float32)


def same_as_new(model: nn.Sequential, x: np.ndarray = X) -> None:
    """A pass gives the bits of a copy of the model, which remembers nothing."""
    with nx.no_grad():
        expected = copy.deepcopy(model)(nx.tensor(x)).numpy()
        np.testing.assert_array_equal(model(nx.tensor(x)).numpy(), expected)


def write(t: nx.Tensor, number: float) -> None:
    t.data[...] = number


def hooked(model: nn.Sequential, at: int) -> None:
    model[at].register_forward_hook(lambda _module, _args, y: y + 1.0)


def forward(model: nn.Sequential, at: int) -> None:
    model[at].forward = lambda x: x + 1.0 if at else nx.ones_like(x)


CHANGES: dict[str, Change] = {
    "weight assigned": lambda m: m[0].weight.assign_(m[0].weight.numpy() * 2),
    "weight written": lambda m: write(m[0].weight, 0.5),
    "weight replaced": lambda m: setattr(m[0], "weight", nn.Parameter(np.ones((16, 16, 3, 3), np.float32))),
    "other weight written": lambda m: write(m[3].weight, 0.5),
    "bias assigned": lambda m: m[0].bias.assign_(np.ones(16, np.float32)),
    "bias written": lambda m: write(m[0].bias, 3.0),
    "bias taken away": lambda m: setattr(m[0], "bias", None),
    "stride": lambda m: setattr(m[0], "stride", (2, 2)),
    "padding": lambda m: setattr(m[0], "padding", (0, 2)),
    "dilation": lambda m: setattr(m[0], "dilation", 2),
    "mean assigned": lambda m: m[1].running_mean.assign_(np.ones(16, np.float32)),
    "mean written": lambda m: write(m[1].running_mean, 2.0),
    "variance written": lambda m: write(m[4].running_var, 2.0),
    "scale assigned": lambda m: m[1].weight.assign_(np.full(16, 3, np.float32)),
    "scale written": lambda m: write(m[1].weight, 2.0),
    "shift replaced": lambda m: setattr(m[1], "bias", nn.Parameter(np.ones(16, np.float32))),
    "eps": lambda m: setattr(m[1], "eps", 0.5),
    "training": lambda m: m[1].train(),
    "statistics reset": lambda m: m[4].reset_running_stats(),
    "state loaded": lambda m: m.load_state_dict({k: v.numpy() * 2 for k, v in m.state_dict().items()}),
    "norm replaced": lambda m: m.__setitem__(1, nn.BatchNorm2d(16).eval()),
    "activation replaced": lambda m: m.__setitem__(2, nn.Tanh()),
    "activation taken away": lambda m: m.__delitem__(2),
    "hook of the convolution": lambda m: hooked(m, 0),
    "hook of the norm": lambda m: hooked(m, 1),
    "hook of the activation": lambda m: hooked(m, 2),
    "forward of the convolution": lambda m: forward(m, 0),
    "forward of the norm": lambda m: forward(m, 1),
    "forward of the activation": lambda m: forward(m, 5),
    "precision": lambda _: nx.set_float32_precision("ieee"),
    "trained on": lambda m: (m.train()(nx.tensor(X * 3)).sum().backward(), nx.optim.SGD(m.parameters(), 0.1).step(), m.eval()),
}


@pytest.mark.filterwarnings("ignore::neurenix.errors.NeurenixWarning")
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen(name: str) -> None:
    model = trained()
    same_as_new(model)
    same_as_new(model)
    assert model[0]._evaluated is not None and model[3]._evaluated is not None
    with nx.no_grad():
        before = model(nx.tensor(X)).numpy()
    try:
        CHANGES[name](model)
        same_as_new(model)
        same_as_new(model)
        with nx.no_grad():
            after = model(nx.tensor(X)).numpy()
    finally:
        nx.set_float32_precision("fast")
    assert after.shape != before.shape or (after != before).any()


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_what_is_remembered_gives_the_bits_of_single_layers(norm: str) -> None:
    model = trained(norm)
    for x in (X, X, X[:1, :, :7, :9], X[:1, :, :7, :9], X[:0], X):
        with nx.no_grad():
            y = nx.tensor(x)
            for layer in model:
                y = layer(y)
            np.testing.assert_array_equal(model(nx.tensor(x)).numpy(), y.numpy())


def test_other_maps_than_those_remembered_are_taken_or_refused_as_ever() -> None:
    model = trained()
    same_as_new(model)
    same_as_new(model, np.ascontiguousarray(X.transpose(0, 1, 3, 2)))
    with nx.no_grad():
        flipped = nx.tensor(X)[:, :, ::-1]
        np.testing.assert_array_equal(model(flipped).numpy(), copy.deepcopy(model)(flipped).numpy())
        with pytest.raises(nx.errors.DTypeError, match="conv2d: expected weight of float64"):
            model(nx.tensor(X.astype(np.float64)))
        with pytest.raises(nx.errors.ShapeError, match="expected x with 16 channels"):
            model(nx.tensor(X[:, :3]))
        with pytest.raises(nx.errors.DTypeError, match="conv2d"):
            model.double()(nx.tensor(X))
        assert model(nx.tensor(X.astype(np.float64))).dtype == np.float64


def test_modes_that_look_at_single_operations_see_them() -> None:
    model, seen = trained(), []
    same_as_new(model)
    with nx.no_grad(), nx.autograd.watched(lambda op, *_: seen.append(op)):
        model(nx.tensor(X))
    assert seen.count("conv2d") == 2
    write(model[0].bias, np.nan)
    with nx.no_grad(), nx.detect_anomaly(), pytest.raises(nx.errors.NeurenixError, match="NaN"):
        model(nx.tensor(X))
    assert trained()(nx.tensor(X)).requires_grad


def test_copies_start_without_and_models_go_when_nobody_has_them() -> None:
    model = trained()
    same_as_new(model)
    assert copy.deepcopy(model)[0]._evaluated is None
    assert pickle.loads(pickle.dumps(model))[0]._evaluated is None
    gc.disable()
    try:
        gone = weakref.ref(model[0])
        del model
        assert gone() is None
    finally:
        gc.enable()


def test_a_model_that_changed_its_arrays_does_not_keep_those_before() -> None:
    model = trained()
    same_as_new(model)
    arrays = [weakref.ref(t._array) for t in model._named_state().values() if t.is_floating_point()]
    model.double()
    assert all(a() is None for a in arrays)


def test_a_number_of_batches_is_judged_whenever_it_changes() -> None:
    with warnings.catch_warnings(), nx.no_grad():
        warnings.simplefilter("error")
        model = trained()
        model(nx.tensor(X)), model(nx.tensor(X))
        model[1].num_batches_tracked.assign_(3)
        with pytest.raises(nx.errors.NeurenixWarning, match="got 3"):
            model(nx.tensor(X))
        model = trained()
        model(nx.tensor(X))
        write(model[4].num_batches_tracked, 4)
        with pytest.raises(nx.errors.NeurenixWarning, match="got 4"):
            model(nx.tensor(X))


def test_counting_batches_shows_the_number_to_nobody() -> None:
    assert not trained()[1].num_batches_tracked._exposed  # else every pass in evaluation would take its checksum


def test_tensors_that_are_kept_are_those_of_now() -> None:
    class Held(nn.Module):
        def __init__(self) -> None:
            self.layers = [nn.Linear(2, 2), {"a": nn.Linear(2, 2)}]
            self.pair = (nn.Linear(2, 2), [nn.Parameter([1.0])])
            self.plain = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))

    model, kept = Held(), walking.Kept()

    def agree() -> None:
        now = [id(t) for t in model._named_state().values()]
        assert [id(t) for t in kept.tensors(model, nn.Module)] == now
        assert [id(t) for t in kept.tensors(model, nn.Module)] == now

    changes: list[Callable[[], object]] = [
        lambda: None,
        lambda: model.layers.append(nn.Linear(1, 1)),
        lambda: model.layers[1].update(a=nn.Linear(3, 3)),
        lambda: model.layers[1].update(b=nn.Linear(3, 3)),
        lambda: model.layers.pop(0),
        lambda: model.pair[1].append(nn.Parameter([2.0])),
        lambda: setattr(model.pair[0], "weight", nn.Parameter([[1.0]])),
        lambda: model.plain.append(nn.Linear(2, 2)),
        lambda: setattr(model.plain[1], "bias", None),
        lambda: setattr(model, "more", nn.Linear(2, 2)),
        lambda: delattr(model, "plain"),
    ]
    for change in changes:
        change()
        agree()
