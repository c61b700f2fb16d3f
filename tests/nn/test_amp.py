"""Half precision: what is rounded and what is not, gradients, PyTorch's numbers, and the scaler's sequence."""

import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest
from amp_cases import INFINITE_AT, SCALER, WEIGHTS, numbers

import neurenix as nx
from neurenix import nn
from neurenix.amp import GradScaler
from neurenix.errors import ArgumentError, DTypeError, GraphError, StateError
from neurenix.nn import functional as F
from neurenix.ops import _half

GOLDEN = json.loads((Path(__file__).resolve().parents[1] / "unit" / "golden" / "amp.json").read_text())
HALVES = {"bfloat16": nx.bfloat16, "float16": nx.float16}


def nearest(x, dtype):
    """The nearest half-precision numbers, by NumPy: float16 is its own, bfloat16 the upper half of the bits."""
    x = np.asarray(x, np.float32)
    if dtype == "float16":
        with np.errstate(over="ignore"):
            return x.astype(np.float16).astype(np.float32)
    bits = x.view(np.uint32).astype(np.uint64)
    found = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(x), x, found)


def values():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, 20000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    ties = (rng.integers(0, 1 << 16, 2000).astype(np.uint32) << 16 | 0x8000).view(np.float32)  # halfway between two bfloat16
    halves = (np.arange(-2000, 2000) * np.float32(2.0**-25)).astype(np.float32)
    edges = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 65504, 65519.996, 65520, 3.3895314e38, 3.3961775e38, 3.4028235e38], np.float32)
    return np.concatenate([bits, ties, halves, edges, rng.standard_normal(5000).astype(np.float32) * 100])


def same(a, b):
    """Equal bits, whatever kind of NaN."""
    nan = np.isnan(a)
    return np.array_equal(nan, np.isnan(b)) and np.array_equal(a[~nan].view(np.uint32), b[~nan].view(np.uint32))


# --- rounding


@pytest.mark.parametrize("dtype", HALVES)
def test_every_number_goes_to_the_nearest(dtype, level):
    x = values()
    assert same(_half.rounded(nx.Tensor(x), dtype).numpy(), nearest(x, dtype))


@pytest.mark.devices
@pytest.mark.parametrize("dtype", HALVES)
def test_as_pytorch_rounds_on_every_device(device, dtype):
    x = nx.tensor([float(v) for v in GOLDEN["values"]]).to(device=device)
    got = _half.rounded(x, dtype).cpu().numpy()
    assert same(got, np.array([float(v) for v in GOLDEN[f"nearest {dtype}"]], np.float32))
    some = values()[-5200:]
    assert same(_half.rounded(nx.Tensor(some).to(device=device), dtype).cpu().numpy(), nearest(some, dtype))


def test_the_gradient_is_rounded_too():
    x = nx.tensor([1.0], requires_grad=True)
    _half.rounded(x, "bfloat16").backward(nx.tensor([1.001]))
    assert x.grad.item() == 1.0


# --- what is rounded


def half_by_hand(run, arrays, dtype):
    """An operation on rounded inputs, its result rounded, and gradients by the same rule."""
    tensors = [nx.tensor(nearest(a, dtype), requires_grad=True) for a in arrays]
    y = run(*tensors)
    weight = nearest(np.random.default_rng(1).standard_normal(y.shape), dtype)
    y.backward(nx.tensor(weight))
    return nearest(y.numpy(), dtype), weight, [nearest(t.grad.numpy(), dtype) for t in tensors]


CASES = {
    "conv1d": (F.conv1d, [(2, 3, 9), (4, 3, 3), (4,)]),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1), [(2, 3, 6, 5), (4, 3, 3, 3), (4,)]),
    "conv2d-depthwise": (lambda x, w: F.conv2d(x, w, groups=8), [(1, 8, 6, 5), (8, 1, 3, 3)]),
    "conv3d": (F.conv3d, [(1, 2, 4, 5, 4), (3, 2, 2, 2, 2), (3,)]),
    "conv_transpose1d": (F.conv_transpose1d, [(2, 3, 9), (3, 4, 3), (4,)]),
    "conv_transpose2d": (lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2), [(2, 3, 4, 5), (3, 4, 2, 2), (4,)]),
    "conv_transpose3d": (F.conv_transpose3d, [(1, 2, 2, 3, 2), (2, 3, 2, 2, 2), (3,)]),
    "linear": (F.linear, [(5, 70), (4, 70), (4,)]),
    "matmul": (nx.matmul, [(2, 5, 70), (70, 6)]),
    "bmm": (nx.bmm, [(2, 3, 4), (2, 4, 5)]),
    "mm": (nx.mm, [(3, 4), (4, 5)]),
    "mv": (nx.mv, [(3, 4), (4,)]),
    "einsum": (lambda x, y: nx.einsum("bij,bjk->bik", x, y), [(2, 3, 4), (2, 4, 5)]),
}


@pytest.mark.devices
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", CASES)
def test_products_are_rounded_going_in_and_coming_out(name, dtype, device):
    run, shapes = CASES[name]
    arrays = [np.random.default_rng(i).standard_normal(s).astype(np.float32) for i, s in enumerate(shapes)]
    expected, weight, gradients = half_by_hand(run, arrays, dtype)
    tensors = [nx.tensor(a).to(device=device).detach().requires_grad_() for a in arrays]
    # Under "ieee" a CPU rounds around each operation in bfloat16 too, as its kernels over pairs do not.
    with nx.set_float32_precision("ieee" if device == "cpu" else "fast"):
        with nx.autocast(device, dtype=HALVES[dtype]):
            y = run(*tensors)
        y.backward(nx.tensor(weight).to(device=device))
    assert y.dtype == np.float32
    close = np.testing.assert_array_equal if device == "cpu" else lambda a, b: np.testing.assert_allclose(a, b, rtol=2**-7, atol=1e-5)
    close(y.cpu().numpy(), expected)
    for t, g in zip(tensors, gradients, strict=True):
        close(t.grad.cpu().numpy(), g)


OTHERS = {
    "softmax": lambda x: F.softmax(x, 1),
    "layer_norm": lambda x: F.layer_norm(x, (5,)),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "group_norm": lambda x: F.group_norm(x, 2),
    "sum": lambda x: x.sum(1),
    "mean": lambda x: x.mean(),
    "cumsum": lambda x: x.cumsum(1),
    "mse_loss": lambda x: F.mse_loss(x, x * 0.5),
    "cross_entropy": lambda x: F.cross_entropy(x, nx.tensor([1, 0])),
    "binary_cross_entropy": lambda x: F.binary_cross_entropy(x.sigmoid(), x.sigmoid()),
    "relu": F.relu,
    "exp": nx.exp,
    "add": lambda x: x + 0.001,
    "norm": lambda x: x.norm(),
}


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_is_float32(name):
    x = nx.tensor(np.random.default_rng(3).standard_normal((2, 4, 5) if name != "cross_entropy" else (2, 5)).astype(np.float32))
    plain = OTHERS[name](x).numpy()
    with nx.autocast("cpu"):
        np.testing.assert_array_equal(OTHERS[name](x).numpy(), plain)


def test_float64_and_other_devices_are_left_alone():
    x, w = nx.tensor(np.full((1, 2), 1.001)), nx.tensor(np.ones((1, 2)))
    with nx.autocast("cpu"):
        assert F.linear(x, w).item() == 2.002
    with nx.autocast("cuda"):
        assert F.linear(x.float(), w.float()).item() == np.float32(2.002)


@pytest.mark.parametrize("dtype", HALVES)
def test_a_model_s_fused_blocks_give_the_same_bits(dtype):
    nx.manual_seed(0)
    model = nx.multiscale.UNet(1, 2, features=[4, 8])
    x = nx.rand(2, 1, 20, 20)
    for _ in range(10):
        model(x)
    with nx.autocast("cpu", dtype=HALVES[dtype]):
        recorded = model.eval()(x).numpy()
        with nx.no_grad():
            np.testing.assert_array_equal(model(x).numpy(), recorded)
            parts = [model(x[i : i + 1]).numpy() for i in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts), recorded)
    assert np.abs(recorded - model(x).numpy()).max() > 0


def test_tiles_have_the_bits_of_the_whole():
    nx.manual_seed(3)
    model, x = nx.multiscale.UNet(1, 1, features=[4, 8], norm=None).eval(), np.random.default_rng(3).random((1, 1, 61, 70), np.float32)
    with nx.autocast("cpu"), nx.no_grad():
        whole = model(x).numpy()
        np.testing.assert_array_equal(nx.multiscale.predict_tiled(model, x, tile=16), whole)
    assert np.abs(nx.multiscale.predict_tiled(model, x, tile=16) - whole).max() > 0


def test_any_number_of_threads_and_any_processor(each_thread_count, level):
    rng = np.random.default_rng(2)
    x, w = (nx.tensor(rng.standard_normal(s).astype(np.float32)) for s in ((2, 20, 17, 19), (24, 20, 3, 3)))
    with nx.autocast("cpu"):
        found = each_thread_count(lambda: F.conv2d(x, w, padding=1).numpy())
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_weights_changed_in_place_are_seen():
    layer, x = nn.Conv2d(1, 1, 1, bias=False), nx.ones(1, 1, 1, 1)
    layer.weight.assign_(nx.full((1, 1, 1, 1), 2.0))
    with nx.autocast("cpu"), nx.no_grad():
        assert layer(x).item() == 2.0
        layer.weight.data[...] = 3.0
        assert layer(x).item() == 3.0
        layer.weight.assign_(nx.full((1, 1, 1, 1), 4.0))
        assert layer(x).item() == 4.0
    with nx.no_grad():
        assert layer(x).item() == 4.0


# --- as PyTorch


def network(dtype):
    given = {name: nx.tensor(numbers(name), requires_grad=True) for name in WEIGHTS}
    with nx.autocast("cpu", dtype=dtype or nx.bfloat16, enabled=dtype is not None):
        y = F.conv2d(given["x"], given["w1"], given["b1"], padding=1)
        y = F.relu(F.batch_norm(y, None, None, given["g"], given["h"], training=True))
        y = F.conv_transpose2d(F.max_pool2d(y, 2), given["w2"], stride=2)
        y = F.linear(y.flatten(2).mean(2), given["w3"], given["b3"])
        z = y @ given["m"]
        loss = F.cross_entropy(z, nx.tensor([1, 0]))
    loss.backward()
    return {"loss": loss.numpy(), "z": z.detach().numpy(), **{name: t.grad.numpy() for name, t in given.items()}}


def apart(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_in_float32_the_network_is_pytorch_s():
    found = network(None)
    for name, expected in GOLDEN["float32"].items():
        if name != "b1":  # a bias before batch normalisation: its gradient is rounding alone
            assert apart(found[name], expected) < 2e-5, name


@pytest.mark.parametrize("dtype", HALVES)
def test_it_is_as_near_to_float32_as_pytorch_s(dtype):
    """Where theirs stores maps rounded ours keeps float32, so ours is nearer if anything."""
    with nx.set_float32_precision("ieee"):  # else a CPU would not round what is as small as this
        found = network(HALVES[dtype])
    theirs, exact = GOLDEN[dtype], GOLDEN["float32"]
    step = {"bfloat16": 2.0**-8, "float16": 2.0**-11}[dtype]
    ours, them = [], []
    for name in set(exact) - {"b1"}:
        ours.append(apart(found[name], exact[name]))
        them.append(apart(theirs[name], exact[name]))
        assert ours[-1] < 2 * them[-1] + 2 * step, (name, ours[-1], them[-1])
    assert np.mean(ours) < 1.1 * np.mean(them)
    assert np.mean(ours) > step / 50, "nothing was rounded"


# --- the block


def test_nesting_and_decorators():
    assert not nx.is_autocast_enabled("cpu")
    with nx.autocast("cpu", dtype=nx.float16) as outer:
        assert nx.get_autocast_dtype("cpu") == nx.float16
        with nx.autocast("cuda"):
            assert nx.is_autocast_enabled("cpu")
            assert nx.is_autocast_enabled("cuda")
            assert nx.get_autocast_dtype("cuda") == nx.float16
            with nx.autocast("cpu", enabled=False):
                assert not nx.is_autocast_enabled("cpu")
                assert nx.is_autocast_enabled("cuda")
            assert nx.get_autocast_dtype("cpu") == nx.float16
        assert not nx.is_autocast_enabled("cuda")
        with outer:
            pass
        assert nx.is_autocast_enabled("cpu")
    assert not nx.is_autocast_enabled("cpu")
    assert nx.get_autocast_dtype("cpu") == nx.bfloat16

    @nx.autocast("cpu")
    def inside(again):
        return nx.get_autocast_dtype("cpu"), nx.is_autocast_enabled("cpu"), again and inside(False)

    assert inside(True) == (nx.bfloat16, True, (nx.bfloat16, True, False))
    assert not nx.is_autocast_enabled("cpu")


def test_it_ends_with_an_error_and_stays_in_its_thread():
    def elsewhere():
        seen = []
        thread = threading.Thread(target=lambda: seen.append(nx.is_autocast_enabled("cpu")))
        thread.start()
        thread.join()
        return seen

    @nx.autocast("cpu")
    def fails():
        assert elsewhere() == [False]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert not nx.is_autocast_enabled("cpu")


def test_checkpoints_run_again_under_the_same_setting():
    nx.manual_seed(1)
    layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3))
    x = nx.rand(2, 2, 9, 9)
    found = []
    for kept in (True, False):
        layers.zero_grad()
        with nx.autocast("cpu"):
            y = layers(x) if kept else nx.checkpoint(layers, x)
        (y * y).sum().backward()  # outside: the second run must not look at what is set here
        found.append([y.detach().numpy(), *(p.grad.numpy() for p in layers.parameters())])
    for plain, again in zip(*found, strict=True):
        np.testing.assert_array_equal(again, plain)
    with nx.autocast("cpu"):
        layers.zero_grad()
        y = nx.checkpoint(nx.autocast("cpu", enabled=False)(layers.__call__), x)
    np.testing.assert_array_equal(y.detach().numpy(), layers(x).detach().numpy())


def test_a_checkpointed_model_under_autocast():
    found = []
    for checkpointed in (False, True):
        nx.manual_seed(2)
        model, x = nx.multiscale.UNet(1, 1, features=[4, 8]), nx.rand(1, 1, 24, 24)
        with nx.autocast("cpu"):
            if checkpointed:
                with nx.enable_gradient_checkpointing():
                    y = model(x)
            else:
                y = model(x)
        y.square().mean().backward()
        found.append([p.grad.numpy() for p in model.parameters()])
    for plain, again in zip(*found, strict=True):
        np.testing.assert_array_equal(again, plain)


@pytest.mark.parametrize("wrong", ["gpu", "cuda:0", 3, None])
def test_other_devices_are_refused(wrong):
    with pytest.raises(ArgumentError, match='expected device_type "cpu" or "cuda", got'):
        nx.autocast(wrong)
    with pytest.raises(ArgumentError, match="is_autocast_enabled: expected"):
        nx.is_autocast_enabled(wrong)


@pytest.mark.parametrize("wrong", [nx.float32, "bf16", nx.int64])
def test_other_types_are_refused(wrong):
    with pytest.raises(DTypeError, match="autocast: expected dtype nx.bfloat16 or nx.float16, got"):
        nx.autocast("cpu", dtype=wrong)


def test_no_array_is_bfloat16():
    with pytest.raises(DTypeError, match="to: expected a type that arrays have, got bfloat16; round products to it with nx.autocast"):
        nx.tensor([1.0]).to(nx.bfloat16)


# --- the scaler


def test_the_scaler_s_sequence_is_pytorch_s():
    p = nx.tensor([1.0, -2.0], requires_grad=True)
    optimizer, scaler = nx.optim.SGD([p], lr=0.125), GradScaler("cpu", **SCALER)
    assert scaler.state_dict() == GOLDEN["state"]
    for step, expected in enumerate(GOLDEN["scaler"]):
        optimizer.zero_grad()
        scaler.scale((p * nx.tensor([0.5, 0.25])).sum()).backward()
        if step in INFINITE_AT:
            p.grad.data[1] = math.inf if step % 2 else math.nan
        if step % 3 == 1:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        assert [scaler.get_scale(), scaler.state_dict()["_growth_tracker"], *p.tolist()] == expected, step


def test_it_saves_gradients_that_float16_loses():
    found = {}
    for name, scale in (("plain", 1.0), ("scaled", 2.0**16)):
        w = nx.tensor([[1.0]], requires_grad=True)
        with nx.autocast("cpu", dtype=nx.float16):
            y = F.linear(nx.tensor([[1.0]]), w)
        (y.sum() * 1e-9 * scale).backward()
        found[name] = w.grad.item() / scale
    assert found["plain"] == 0.0
    assert found["scaled"] == pytest.approx(1e-9, rel=1e-3)


@pytest.mark.devices
@pytest.mark.parametrize("bad", [None, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("place", [0, 4999, 5001])
def test_a_step_is_left_out_if_any_gradient_is_not_finite(device, bad, place):
    parameters = [nx.zeros(*shape).to(device=device).detach().requires_grad_() for shape in ((50, 100), (2,))]
    optimizer, scaler = nx.optim.Adam(parameters), GradScaler("cpu", init_scale=4.0)
    flat = np.full(5002, 2.0, np.float32)
    flat[place] = 2.0 if bad is None else bad
    for p, g in zip(parameters, (flat[:5000].reshape(50, 100), flat[5000:]), strict=True):
        p.grad = nx.tensor(g).to(device=device)
    scaler.unscale_(optimizer)
    assert parameters[0].grad.cpu().numpy()[3, 3] == 0.5
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == (4.0 if bad is None else 2.0)
    moved = [bool((p.detach().cpu().numpy() != 0).any()) for p in parameters]
    assert moved == [bad is None] * 2


def test_training_in_float16_learns():
    nx.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1))
    optimizer, scaler = nx.optim.Adam(model.parameters(), lr=0.02), GradScaler("cpu", init_scale=2.0**20, growth_interval=10)
    x = nx.rand(4, 1, 16, 16)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        with nx.autocast("cpu", dtype=nx.float16):
            loss = F.mse_loss(model(x), x * x)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4
    assert all(p.dtype == np.float32 for p in model.parameters())


def ready(scale=8.0, **more):
    p = nx.tensor([1.0], requires_grad=True)
    optimizer, scaler = nx.optim.SGD([p], lr=1.0), GradScaler("cpu", init_scale=scale, **more)
    scaler.scale(p * 1.0).backward()
    return p, optimizer, scaler


def test_calls_out_of_order():
    _, optimizer, scaler = ready()
    with pytest.raises(GraphError, match="GradScaler.update: expected step\\(\\) or unscale_\\(\\) before, got neither"):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(GraphError, match="GradScaler.unscale_: expected one call an update, got one a second time"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(GraphError, match="GradScaler.step: expected one call an update, got a second"):
        scaler.step(optimizer)
    with pytest.raises(GraphError, match="got one after step\\(\\)"):
        scaler.unscale_(optimizer)
    scaler.update()
    with pytest.raises(ArgumentError, match="GradScaler.step: expected no closure"):
        scaler.step(optimizer, lambda: None)


def test_two_optimizers_share_a_scale():
    p, first, scaler = ready()
    q = nx.tensor([1.0], requires_grad=True)
    second = nx.optim.SGD([q], lr=1.0)
    q.grad = nx.tensor([math.inf])
    scaler.step(first)
    scaler.step(second)
    scaler.update()
    assert (p.item(), q.item(), scaler.get_scale()) == (0.0, 1.0, 4.0)


def test_one_that_is_not_enabled_only_steps():
    p, optimizer, scaler = ready(enabled=False)
    assert (p.grad.item(), scaler.get_scale(), scaler.is_enabled(), scaler.state_dict()) == (1.0, 1.0, False, {})
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    scaler.load_state_dict({})
    assert p.item() == 0.0


def test_parameters_without_elements_or_gradients():
    p, q = (nx.zeros(*shape).detach().requires_grad_() for shape in ((0, 3), (2,)))
    optimizer, scaler = nx.optim.SGD([p, q], lr=1.0), nx.GradScaler("cpu")
    scaler.step(optimizer)
    scaler.update()
    p.grad, q.grad = nx.zeros(0, 3), nx.ones(2)
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 65536.0
    assert q.tolist() == [-(2.0**-16)] * 2


def test_outputs_of_any_structure():
    scaler = GradScaler("cpu", init_scale=2.0)
    one, (two, three) = scaler.scale([nx.tensor([1.0]), (nx.tensor([2.0]), nx.tensor([3.0]))])
    assert (one.item(), two.item(), three.item()) == (2.0, 4.0, 6.0)
    assert [t.item() for t in scaler.scale(iter([nx.tensor([1.0])]))] == [2.0]
    with pytest.raises(DTypeError, match="GradScaler.scale: expected a tensor or an iterable of tensors, got float"):
        scaler.scale(1.0)


def test_state():
    _, optimizer, scaler = ready(growth_interval=5)
    scaler.step(optimizer)
    scaler.update()
    state = scaler.state_dict()
    again = GradScaler("cpu")
    again.load_state_dict(state)
    assert again.state_dict() == state == {**state, "scale": 8.0, "_growth_tracker": 1, "growth_interval": 5}
    again.update(nx.tensor([16.0]))
    assert again.get_scale() == 16.0
    with pytest.raises(StateError, match="GradScaler: expected a state with scale, .*, got an empty state"):
        again.load_state_dict({})
    with pytest.raises(ArgumentError, match="backoff_factor between 0 and 1"):
        again.load_state_dict({**state, "scale": 2.0, "backoff_factor": 3.0})
    assert again.get_scale() == 16.0


def test_the_scale_stays_finite():
    _, optimizer, scaler = ready(scale=2.0**127, growth_interval=1)
    optimizer.param_groups[0]["params"][0].grad = nx.tensor([1.0])
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**127


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"init_scale": 0}, "init_scale above 0 and finite, got 0"),
        ({"init_scale": math.inf}, "init_scale above 0"),
        ({"growth_factor": 1.0}, "a growth_factor above 1, got 1.0"),
        ({"backoff_factor": 1.0}, "a backoff_factor between 0 and 1"),
        ({"growth_interval": 0}, "a growth_interval of at least 1, got 0"),
    ],
)
def test_settings_out_of_range(setting, text):
    with pytest.raises(ArgumentError, match=f"GradScaler: expected {text}"):
        GradScaler("cpu", **setting)
