"""Convolutions and products on tensor cores, in the emulator: within each setting's distance of the exact result, and the same bits
for any split of a batch, fused or not, whoever computes which part of a sum. The model of the tensor cores truncates their sums."""

import numpy as np
import pytest
from gpu import emulated
from gpu.emulated import EmulatedModule
from gpu.parity import TENSOR_CORES as BOUNDS

import neurenix as nx
from neurenix.backend import sources
from neurenix.nn import functional as F
from neurenix.ops.conv_chain import Norm, Unit, conv_chain
from neurenix.ops.elementwise import Unary
from neurenix.precision import HALVES, within


def conv(**settings):
    return lambda x, w, *b: F.conv2d(x, w, *b, **settings)


def transposed(**settings):
    return lambda x, w, *b: F.conv_transpose2d(x, w, *b, **settings)


CASES = {
    "3x3": (conv(padding=1), [(2, 16, 5, 7), (12, 16, 3, 3), (12,)]),
    "odd channels": (conv(padding=1), [(1, 13, 6, 5), (9, 13, 3, 3), (9,)]),
    "stride, dilation, asymmetric padding": (conv(stride=(2, 1), padding=(1, 2), dilation=(1, 2)), [(1, 8, 9, 7), (8, 8, 3, 2)]),
    "1x1": (conv(), [(3, 20, 3, 5), (70, 20, 1, 1), (70,)]),
    "groups": (conv(padding=1, groups=2), [(1, 24, 4, 5), (18, 12, 3, 3), (18,)]),
    "2x2 upwards": (transposed(stride=2), [(2, 12, 3, 4), (12, 8, 2, 2), (8,)]),
    "phases with different taps": (transposed(stride=2, padding=1, output_padding=1), [(1, 8, 4, 3), (8, 10, 3, 3)]),
    "phases without taps": (transposed(stride=3), [(1, 8, 2, 3), (8, 8, 2, 1)]),
    "more than a tile": (conv(padding=1), [(1, 8, 11, 13), (66, 8, 3, 3)]),
}


@pytest.fixture
def cores(door, monkeypatch):
    """The emulated device as a card with tensor cores."""
    monkeypatch.setattr(door, "capability", 80)
    return door


def arrays_of(shapes, dtype="f4", seed=3):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype(dtype) for s in shapes]


def outcome(function, arrays, device, precision, dtype="f4"):
    """The result and the gradients of all inputs, as NumPy arrays."""
    with nx.set_float32_precision(precision):
        inputs = [nx.tensor(a.astype(dtype)).to(device).requires_grad_(True) for a in arrays]
        y = function(*inputs)
        y.backward(nx.tensor(np.random.default_rng(4).standard_normal(y.shape).astype("f4").astype(dtype)).to(device))
        return [y.numpy(), *(x.grad.numpy() for x in inputs)]


def distance(got, exact):
    return np.linalg.norm((got - exact).ravel()) / np.linalg.norm(exact.ravel())


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize("name", CASES)
def test_within_the_bound_of_the_setting(cores, name, precision):
    function, shapes = CASES[name]
    arrays = arrays_of(shapes)
    exact = outcome(function, arrays, "cpu", "ieee", "f8")
    got = outcome(function, arrays, "emulated", precision)
    assert {f"conv_weight_gradient_{precision}"} <= set(cores.kernels)
    assert all(k.startswith(f"convolve_{precision}") for k in cores.kernels if k.startswith("convolve"))
    for what, e, g in zip(("y", "dx", "dw", "db"), exact, got, strict=False):
        assert distance(g, e) < BOUNDS[precision], what
    assert precision == "fast" or distance(got[0], exact[0]) > 1e-5  # one product would show in "fast"


def test_other_cards_settings_and_types_take_the_direct_kernel(cores, monkeypatch):
    function, shapes = CASES["3x3"]
    arrays = arrays_of(shapes)
    direct = outcome(function, arrays, "emulated", "ieee")
    np.testing.assert_array_equal(direct[0], outcome(function, arrays, "cpu", "ieee")[0])
    outcome(function, arrays, "emulated", "fast", "f8")
    monkeypatch.setattr(cores, "capability", 75)
    for precision in BOUNDS:
        for expected, got in zip(direct, outcome(function, arrays, "emulated", precision), strict=True):
            np.testing.assert_array_equal(got, expected)
    assert {"convolve", "conv_weight_gradient_part", "conv_weight_gradient_joined"} <= set(cores.kernels)
    assert not [k for k in cores.kernels if "fast" in k or "tf32" in k]


def test_few_channels_take_the_direct_kernel(cores):
    arrays = arrays_of([(1, 3, 6, 5), (16, 3, 3, 3)])
    with nx.set_float32_precision("fast"):
        y = F.conv2d(*(nx.tensor(a).to("emulated") for a in arrays))
    assert y.shape == (1, 16, 4, 3)
    assert "convolve" in cores.kernels


def convolved(x, w, precision="fast", **settings):
    with nx.set_float32_precision(precision):
        return F.conv2d(nx.tensor(x).to("emulated"), nx.tensor(w).to("emulated"), **settings).numpy()


@pytest.mark.parametrize("precision", BOUNDS)
def test_a_long_sum_shared_out_among_blocks_has_the_same_bits(cores, monkeypatch, precision):
    x, w = arrays_of([(1, 180, 4, 5), (8, 180, 3, 3)])
    shared = convolved(x, w, precision, padding=1)
    assert cores.kernels[-2:] == [f"convolve_{precision}_part", "convolve_joined"]
    monkeypatch.setattr(cores, "processors", 0)
    whole = convolved(x, w, precision, padding=1)
    assert cores.kernels[-1] == f"convolve_{precision}_narrow"
    np.testing.assert_array_equal(shared, whole)
    exact = F.conv2d(nx.tensor(x.astype("f8")), nx.tensor(w.astype("f8")), padding=1).numpy()
    assert distance(shared, exact) < BOUNDS[precision]


def test_a_transpose_shared_out_among_blocks_has_the_same_bits(cores, monkeypatch):
    x, w = arrays_of([(1, 400, 2, 2), (400, 8, 2, 3)])
    found = []
    for processors in (4, 0):
        monkeypatch.setattr(cores, "processors", processors)
        with nx.set_float32_precision("fast"):
            found.append(F.conv_transpose2d(nx.tensor(x).to("emulated"), nx.tensor(w).to("emulated"), stride=(1, 2)).numpy())
    assert [k for k in cores.kernels if k.startswith("convolve")] == ["convolve_fast_part", "convolve_joined", "convolve_fast_narrow"]
    np.testing.assert_array_equal(*found)


def test_the_width_of_a_tile_is_not_seen(cores):
    x, w = arrays_of([(1, 12, 5, 6), (40, 12, 3, 3)])
    wide, narrow = convolved(x, w), convolved(x, w[:17].copy())
    assert [k for k in cores.kernels if k.startswith("convolve")] == ["convolve_fast", "convolve_fast_narrow"]
    np.testing.assert_array_equal(wide[:, :17], narrow)


@pytest.mark.parametrize("precision", BOUNDS)
def test_a_batch_has_the_bits_of_its_parts(cores, precision):
    x, w = arrays_of([(3, 9, 7, 8), (10, 9, 3, 3)])
    whole = convolved(x, w, precision, padding=1)
    parts = [convolved(x[i:j], w, precision, padding=1) for i, j in ((0, 1), (1, 3))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_memory_that_is_not_aligned_gives_the_same_bits(cores):
    x, w = arrays_of([(1, 5, 6, 16), (8, 16, 3, 3)])
    found = []
    for lead in (0, 1):
        memory = np.zeros(x.size + 4, "f4")
        memory[lead : lead + x.size] = x.ravel()
        on_card = emulated.door.from_numpy(memory, "emulated")[lead : lead + x.size].reshape(x.shape)
        with nx.set_float32_precision("fast"):
            found.append(F.conv2d(nx.Tensor._wrap(on_card.transpose(0, 3, 1, 2)), nx.tensor(w).to("emulated")).numpy())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("guard", ["left", "right"])
def test_bias_normalisation_and_relu_in_the_same_pass(cores, monkeypatch, guard):
    monkeypatch.setattr(cores, "guard", guard)
    x, w, b, mean, gain = (nx.tensor(a).to("emulated") for a in arrays_of([(1, 8, 5, 6), (9, 8, 3, 3), (9,), (9,), (9,)]))
    norm = Norm("batch", gain, b, mean, gain * gain + 1.0, training=False)
    with nx.no_grad(), nx.set_float32_precision("fast"):
        fused = conv_chain(x, [Unit(w, b, padding=1, norm=norm, activation="relu")])
        apart = norm(F.conv2d(x, w, b, padding=1), False).relu()
    np.testing.assert_array_equal(fused.numpy(), apart.numpy())
    assert (fused.numpy() == 0).any()


def test_a_weight_gradient_over_many_pixels(cores):
    function, shapes = conv(padding=1), [(2, 9, 20, 30), (8, 9, 3, 1)]
    arrays = arrays_of(shapes)
    exact = outcome(function, arrays, "cpu", "ieee", "f8")[2]
    for capability in (80, 70):  # three parts; on tensor cores and directly
        cores.capability = capability
        assert distance(outcome(function, arrays, "emulated", "fast")[2], exact) < 1.5e-6
    assert "conv_weight_gradient_part" in cores.kernels


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize(
    ("a", "b"),
    [((66, 40), (40, 72)), ((5, 13), (13, 9)), ((2, 9, 20), (2, 20, 11)), ((1, 8), (8, 8))],
)
def test_products_of_matrices(cores, precision, a, b):
    arrays = arrays_of([a, b])
    exact = outcome(nx.matmul, arrays, "cpu", "ieee", "f8")
    for e, g in zip(exact, outcome(nx.matmul, arrays, "emulated", precision), strict=True):
        assert distance(g, e) < BOUNDS[precision]
    assert f"matmul_rows_{precision}" in cores.kernels


def test_a_row_of_a_product_has_the_same_bits_whatever_the_rows(cores):
    a, b = arrays_of([(70, 24), (24, 16)])
    with nx.set_float32_precision("fast"):
        whole = nx.matmul(nx.tensor(a).to("emulated"), nx.tensor(b).to("emulated")).numpy()
        one = nx.matmul(nx.tensor(a[66:67]).to("emulated"), nx.tensor(b).to("emulated")).numpy()
    np.testing.assert_array_equal(whole[66:67], one)


def test_linear(cores):
    arrays = arrays_of([(7, 18), (10, 18), (10,)])
    exact = outcome(F.linear, arrays, "cpu", "ieee", "f8")
    for e, g in zip(exact, outcome(F.linear, arrays, "emulated", "fast"), strict=True):
        assert distance(g, e) < 1.5e-6
    assert "convolve_fast_narrow" in cores.kernels


def test_a_model_trains_on_tensor_cores(cores):
    def step(device, precision):
        nx.manual_seed(0)
        model = nx.nn.Sequential(nx.nn.Conv2d(3, 8, 3, padding=1), nx.nn.BatchNorm2d(8), nx.nn.ReLU(), nx.nn.Conv2d(8, 9, 3, stride=2))
        model.to(device)
        optimizer = nx.optim.SGD(model.parameters(), lr=0.1)
        with nx.set_float32_precision(precision):
            model(nx.tensor(arrays_of([(2, 3, 7, 6)])[0]).to(device)).square().mean().backward()
        optimizer.step()
        return [p.numpy() for p in model.parameters()]

    for expected, got in zip(step("cpu", "ieee"), step("emulated", "fast"), strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-6)
    assert {"convolve_fused", "convolve_fast_narrow", "conv_weight_gradient_fused_part", "conv_weight_gradient_fast"} <= set(cores.kernels)


@pytest.mark.parametrize("precision", ["fast", "tf32", "ieee"])
@pytest.mark.parametrize("dtype", [nx.bfloat16, nx.float16])
@pytest.mark.parametrize("name", ["3x3", "2x2 upwards", "1x1"])
def test_autocast_multiplies_halves(cores, name, dtype, precision):
    function, shapes = CASES[name]
    arrays, found = arrays_of(shapes), []
    for device, setting in (("cpu", "ieee"), ("emulated", precision)):  # where a CPU rounds all that a GPU does
        with nx.autocast(device, dtype=dtype):
            found.append(outcome(function, arrays, device, setting))
    by_cores = {kernel for kernel in cores.kernels if kernel.startswith(("convolve", "conv_weight_gradient")) and "joined" not in kernel}
    half = "bfloat16" if dtype == nx.bfloat16 else "float16"
    assert precision == "ieee" or {f"conv_weight_gradient_{half}"} < by_cores
    assert all((f"_{half}" in kernel) == (precision != "ieee") for kernel in by_cores)
    step = 2.0**-7 if dtype == nx.bfloat16 else 2.0**-10
    for expected, got in zip(*found, strict=True):
        near = expected == got  # sums in another order round to a neighbour now and then, and not farther
        assert near.mean() > 0.97
        np.testing.assert_allclose(got, expected, rtol=step, atol=1e-6)


def to_half(array, half):
    return values_of(bits_of(array, "bf16"), "bf16") if half == "bfloat16" else array.astype("f2").astype("f4")


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", [*CASES, "product", "long sum"])
def test_sums_of_halves(cores, name, half):
    """The kernels round what they are given, multiply exactly, and truncate sums as one TF32 product does."""
    further = {"product": (nx.matmul, [(66, 40), (40, 72)]), "long sum": (conv(padding=1), [(1, 200, 4, 5), (8, 200, 3, 3)])}
    function, shapes = (CASES | further)[name]
    arrays = arrays_of(shapes)
    rounded = [to_half(a, half) if a.ndim > 1 else a for a in arrays]
    with within(half):
        x = [nx.tensor(a).to("emulated").requires_grad_() for a in arrays]
        y = function(*x)
        g = np.random.default_rng(4).standard_normal(y.shape).astype("f4")
        y.backward(nx.tensor(g).to("emulated"))
    z = [nx.tensor(a.astype("f8")).requires_grad_() for a in rounded]
    exact = function(*z)
    exact.backward(nx.tensor(to_half(g, half).astype("f8")))
    assert distance(y.numpy(), exact.detach().numpy()) < 2e-6
    for e, t in zip(z[:2], x, strict=False):
        assert distance(t.grad.numpy(), e.grad.numpy()) < 2e-6
    assert all(
        f"_{half}" in kernel or "joined" in kernel for kernel in cores.kernels if kernel.startswith(("convolve", "conv_weight", "matmul"))
    )


def test_outside_nothing_has_changed(cores):
    function, shapes = CASES["3x3"]
    with nx.autocast("emulated"):
        outcome(function, arrays_of(shapes), "emulated", "fast")
    cores.kernels.clear()
    outcome(function, arrays_of(shapes), "emulated", "fast")
    assert any(name.startswith("convolve_fast") for name in cores.kernels)
    assert not any("tf32" in name or "float16" in name for name in cores.kernels)


def bits_of(x, kind):
    return x.astype("f2").view("u2") if kind == "f16" else ((x.view("u4") + 0x7FFF + ((x.view("u4") >> 16) & 1)) >> 16).astype("u2")


def values_of(bits, kind):
    return bits.view("f2").astype("f4") if kind == "f16" else (bits.astype("u4") << 16).view("f4")


@pytest.mark.parametrize("channels", [16, 9])
@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_halves(cores, kind, channels):
    """Not yet a row of the table: the kernels are called as they are."""
    x, w, b = arrays_of([(2, 5, 6, channels), (3, 3, channels, 10), (10,)])
    packed = np.zeros((9, channels, 16), "u2")
    xs, packed[..., :10] = bits_of(x, kind), bits_of(w, kind).reshape(9, channels, 10)
    y = np.zeros((2, 5, 6, 10), "u2")
    sizes = [np.int64(v) for v in (2, 5, 6, 5, 6, 1, 10, channels, 3, 3, 1, 1, 1, 1, 1, 1)]
    last = np.int64(channels), np.int64(0), np.int64(Unary.RELU), np.float64(0), np.float64(0)
    forward = EmulatedModule(sources.unit("conv_tensor", "f16")).get_function(f"convolve_{kind}")
    forward((1, 1, 1), (256,), (y, xs, None, packed, b, None, None, *sizes, *last, np.int64(1)), poison=(0,))
    x, w = values_of(xs, kind).astype("f8"), values_of(bits_of(w, kind), kind).astype("f8")
    weight = nx.tensor(w.transpose(3, 2, 0, 1).copy())
    exact = F.conv2d(nx.tensor(x.transpose(0, 3, 1, 2).copy()), weight, nx.tensor(b.astype("f8")), padding=1).relu()
    exact = exact.numpy().transpose(0, 2, 3, 1)
    assert distance(values_of(y, kind), exact) < (4e-4 if kind == "f16" else 3e-3)  # the rounding of the result

    scratch, dw = np.zeros((1, 9, 10, channels), "f4"), np.zeros((10, channels, 3, 3), "u2")
    dy = bits_of(arrays_of([(2, 5, 6, 10)], seed=5)[0], kind)
    gradient = EmulatedModule(sources.unit("conv_tensor_gradient", "f16")).get_function(f"conv_weight_gradient_{kind}")
    gradient((1, 9, 1), (128,), (dw, dy, xs, *sizes, scratch, np.int64(1)), poison=(19,))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for tap in range(9):
        window = padded[:, tap // 3 : tap // 3 + 5, tap % 3 : tap % 3 + 6]
        assert distance(scratch[0, tap], np.einsum("npqk,npqc->kc", values_of(dy, kind).astype("f8"), window)) < 2e-6
