"""Normalisation layers: parameters, statistics, warnings, saving, errors."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, NeurenixWarning, ShapeError
from neurenix.ops.norm import keep_running_statistics
from neurenix.testing import random_array


def image(*shape):
    return nx.Tensor(random_array(*shape).astype(np.float32))


def test_names_and_shapes_are_pytorchs():
    assert list(nn.BatchNorm2d(3).state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert list(nn.BatchNorm1d(3, affine=False, track_running_stats=False).state_dict()) == []
    assert list(nn.BatchNorm2d(3, bias=False, track_running_stats=False).state_dict()) == ["weight"]
    assert list(nn.InstanceNorm2d(3).state_dict()) == []
    assert list(nn.GroupNorm(2, 4, bias=False).state_dict()) == ["weight"]
    assert nn.LayerNorm((2, 3)).weight.shape == (2, 3)
    assert list(nn.RMSNorm(3).state_dict()) == ["weight"]


def test_training_moves_statistics_and_evaluation_uses_them():
    layer, x = nn.BatchNorm2d(3, momentum=None), [image(4, 3, 5, 6) * 2 + 1 for _ in range(12)]
    for batch in x:
        y = layer(batch)
        np.testing.assert_allclose(y.numpy().mean((0, 2, 3)), 0, atol=1e-6)
    assert layer.num_batches_tracked.item() == 12
    mean = np.mean([b.numpy().mean((0, 2, 3)) for b in x], axis=0)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-5)
    layer.eval()
    got = layer(x[0]).numpy()
    want = (x[0].numpy() - mean.reshape(3, 1, 1)) / np.sqrt(layer.running_var.numpy().reshape(3, 1, 1) + 1e-5)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert layer.num_batches_tracked.item() == 12
    layer.reset_running_stats()
    assert layer.num_batches_tracked.item() == 0
    assert layer.running_var.tolist() == [1, 1, 1]


def test_a_rerun_counts_nothing():
    layer, x = nn.BatchNorm2d(3), image(2, 3, 4, 4)
    want = layer(x).numpy()
    state = {k: np.array(v) for k, v in layer.state_dict().items()}
    with keep_running_statistics():
        np.testing.assert_array_equal(layer(x).numpy(), want)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, state[name])


def test_one_value_a_channel_is_accepted_and_warned_of_once():
    layer = nn.BatchNorm2d(2)
    with pytest.warns(NeurenixWarning, match="BatchNorm2d: expected more than one value a channel in training, got one"):
        np.testing.assert_allclose(layer(image(1, 2, 1, 1)).numpy(), 0, atol=1e-4)
    layer(image(1, 2, 1, 1))
    nn.InstanceNorm2d(2)(image(1, 2, 1, 1))


def test_few_batches_are_warned_of_in_evaluation():
    layer = nn.BatchNorm2d(2)
    layer.eval()(image(1, 2, 3, 3))
    layer.train()(image(1, 2, 3, 3))
    with pytest.warns(NeurenixWarning, match="expected running statistics of 10 batches or more in evaluation, got 1"):
        layer.eval()(image(1, 2, 3, 3))
    layer(image(1, 2, 3, 3))


def test_no_statistics_means_the_batchs_own():
    layer, x = nn.BatchNorm2d(3, track_running_stats=False), image(2, 3, 4, 4)
    np.testing.assert_array_equal(layer(x).numpy(), layer.eval()(x).numpy())


def test_instance_norm_takes_one_image():
    layer, x = nn.InstanceNorm2d(3, affine=True, track_running_stats=True), image(3, 5, 5)
    assert layer(x).shape == (3, 5, 5)
    assert layer.num_batches_tracked.item() == 0  # PyTorch counts batches for batch norms only
    assert nn.InstanceNorm1d(3)(image(3, 7)).shape == (3, 7)


def test_gradients_reach_the_parameters():
    for layer, shape in (
        (nn.BatchNorm1d(4), (5, 4)),
        (nn.BatchNorm3d(4), (2, 4, 2, 2, 2)),
        (nn.GroupNorm(2, 4), (2, 4, 3)),
        (nn.LayerNorm(4), (3, 4)),
        (nn.RMSNorm(4), (3, 4)),
        (nn.InstanceNorm2d(4, affine=True), (2, 4, 3, 3)),
    ):
        layer(image(*shape)).backward(random_array(*shape, seed=2).astype(np.float32))
        assert all(p.grad is not None and np.abs(p.grad.numpy()).sum() > 0 for p in layer.parameters())


def test_state_travels():
    layer = nn.BatchNorm2d(3)
    for _ in range(10):
        layer(image(2, 3, 4, 4))
    other = nn.BatchNorm2d(3)
    other.load_state_dict(layer.state_dict())
    x = image(1, 3, 4, 4)
    np.testing.assert_array_equal(other.eval()(x).numpy(), layer.eval()(x).numpy())


def test_errors():
    with pytest.raises(ShapeError, match=r"BatchNorm2d: expected an input with 4 axes, got \(3, 4, 4\); add the batch axis"):
        nn.BatchNorm2d(3)(image(3, 4, 4))
    with pytest.raises(ShapeError, match=r"BatchNorm1d: expected an input with 2 or 3 axes, got \(2, 3, 4, 4\); reshape it"):
        nn.BatchNorm1d(3)(image(2, 3, 4, 4))
    with pytest.raises(ShapeError, match=r"BatchNorm2d: expected an input with 3 channels, got \(2, 4, 5, 5\); pass num_features=4"):
        nn.BatchNorm2d(3)(image(2, 4, 5, 5))
    with pytest.raises(ArgumentError, match="BatchNorm2d: expected num_features"):
        nn.BatchNorm2d(0)
    with pytest.raises(ArgumentError, match="GroupNorm: expected eps of at least 0.0, got -1"):
        nn.GroupNorm(1, 2, eps=-1)
    with pytest.raises(ArgumentError, match="GroupNorm: expected groups that divide 4 channels, got 3"):
        nn.GroupNorm(3, 4)
    with pytest.raises(ShapeError, match=r"GroupNorm: expected \(N, 4, ...\), got \(2, 3, 5\)"):
        nn.GroupNorm(2, 4)(image(2, 3, 5))
    with pytest.raises(ArgumentError, match="LayerNorm: expected normalized_shape"):
        nn.LayerNorm(0)


def test_batch_norm_needs_a_positive_eps():
    x = np.array([[1.0], [3.0]], np.float32)
    layer = nn.BatchNorm1d(1, eps=0.0)
    with pytest.raises(ArgumentError, match="batch_norm: expected eps above 0 in training, got 0.0; pass e.g. eps=1e-5"):
        layer(x)
    assert layer.num_batches_tracked.item() == 0
    assert layer.eval()(x).tolist() == x.tolist()  # the running variance is 1
    with pytest.raises(ArgumentError, match="batch_norm: expected eps of at least 0, got -1.0"):
        nn.functional.batch_norm(x, np.zeros(1, np.float32), np.ones(1, np.float32), eps=-1.0)


def test_they_say_what_pytorchs_say():
    batch = "4, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True"
    assert repr(nn.BatchNorm2d(4)) == f"BatchNorm2d({batch})"
    assert repr(nn.BatchNorm2d(4, affine=False)) == f"BatchNorm2d({batch.replace('affine=True, bias=True', 'affine=False, bias=False')})"
    assert repr(nn.InstanceNorm1d(4, 0.001)) == (
        "InstanceNorm1d(4, eps=0.001, momentum=0.1, affine=False, bias=False, track_running_stats=False)"
    )
    assert repr(nn.GroupNorm(2, 4)) == "GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)"
    assert repr(nn.LayerNorm([2, 3], bias=False)) == "LayerNorm((2, 3), eps=1e-05, elementwise_affine=True, bias=False)"
    assert repr(nn.RMSNorm(4)) == "RMSNorm((4,), eps=None, elementwise_affine=True)"
