"""Public operations on emulated tensors against the CPU, forward and backward, each within its stated distance.

A distance of 0 means the same bits. The emulator runs both thread orders, poisons outputs and shared memory and puts arrays
against unreadable pages, so a case here also says that its kernels race nowhere and stay inside their arrays.
"""

import numpy as np
import pytest

import neurenix as nx
from neurenix import backend, optim, random
from neurenix.nn import functional as F

GRADIENT = 2e-6  # weight gradients add pixels in another order
SAME, LAST = 0.0, 1.2e-7  # LAST: sums in double, rounded once, may differ in float32's last place
LABELS = np.random.default_rng(1).integers(0, 3, (2, 4, 5))
MAP = np.random.default_rng(2).standard_normal((2, 3, 4, 5)).astype("f4")


def on(array, x):
    """A constant beside ``x``."""
    return nx.Tensor(array).to(device=x.device)


CASES = {
    "interpolate-bilinear": (lambda x: F.interpolate(x, size=(7, 4), mode="bilinear"), [(2, 3, 5, 6)], SAME),
    "interpolate-bicubic": (lambda x: F.interpolate(x, scale_factor=1.6, mode="bicubic"), [(1, 2, 5, 5)], SAME),
    "interpolate-nearest": (lambda x: F.interpolate(x, scale_factor=2), [(2, 3, 3, 5)], SAME),
    "interpolate-antialias": (lambda x: F.interpolate(x, size=(3, 2), mode="bilinear", antialias=True), [(1, 3, 8, 7)], SAME),
    "interpolate-area": (lambda x: F.interpolate(x, size=(3, 2), mode="area"), [(1, 3, 8, 7)], SAME),
    "pad-constant": (lambda x: F.pad(x, (1, 2, 0, 3), value=2.5), [(2, 3, 4, 5)], SAME),
    "pad-reflect": (lambda x: F.pad(x, (2, 1, 1, 2), mode="reflect"), [(2, 3, 4, 5)], SAME),
    "pad-crop": (lambda x: F.pad(x, (-1, 2, -1, 0)), [(2, 3, 4, 5)], SAME),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2, ceil_mode=True), [(2, 3, 5, 7)], SAME),
    "max_pool2d-overlapping": (lambda x: F.max_pool2d(x, 3, stride=1, padding=1), [(1, 4, 5, 6)], SAME),
    "max_pool2d-dilated": (lambda x: F.max_pool2d(x, 3, stride=1, padding=1, dilation=3), [(1, 2, 9, 8)], SAME),
    "max_pool2d-indices": (lambda x: F.max_pool2d(x, 2, return_indices=True)[0], [(2, 3, 4, 6)], SAME),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, stride=2, padding=1), [(2, 3, 6, 5)], SAME),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (3, 2)), [(2, 3, 7, 5)], SAME),
    "add-broadcast": (lambda x, y: x + y * 2.0, [(2, 3, 4), (3, 1)], LAST),
    "channels-last-arithmetic": (lambda x, y: (x.permute(0, 2, 3, 1) * y.permute(0, 2, 3, 1)).relu(), [(2, 3, 4, 5), (2, 3, 4, 5)], SAME),
    "gelu": (F.gelu, [(3, 7)], SAME),
    "silu": (F.silu, [(3, 7)], SAME),
    "sigmoid": (lambda x: x.sigmoid(), [(3, 7)], SAME),
    "division": (lambda x, y: x / y, [(3, 7), (7,)], LAST),
    "maximum": (nx.maximum, [(3, 7), (3, 7)], SAME),
    "sum": (lambda x: x.sum(dim=(0, 2)), [(4, 5, 6)], LAST),
    "mean": (lambda x: x.mean(), [(2, 3, 4, 5)], LAST),
    "max": (lambda x: x.amax(dim=1), [(4, 70)], SAME),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1), [(2, 9, 6, 7), (10, 9, 3, 3), (10,)], GRADIENT),
    "conv2d-strided": (lambda x, w: F.conv2d(x, w, stride=2, padding=(1, 0), dilation=(1, 2)), [(1, 4, 9, 9), (3, 4, 3, 2)], GRADIENT),
    "conv2d-grouped": (lambda x, w, b: F.conv2d(x, w, b, groups=2), [(1, 4, 5, 5), (6, 2, 2, 3), (6,)], GRADIENT),
    "conv2d-1x1": (F.conv2d, [(1, 70, 3, 5), (66, 70, 1, 1), (66,)], GRADIENT),
    "conv2d-many-channels": (lambda x, w: F.conv2d(x, w, padding=1), [(1, 130, 3, 3), (9, 130, 3, 3)], GRADIENT),
    "conv_transpose2d": (lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2), [(1, 5, 3, 4), (5, 3, 2, 2), (3,)], GRADIENT),
    "conv_transpose2d-k3": (lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1), [(1, 20, 4, 3), (20, 9, 3, 3)], GRADIENT),
    "conv2d-small-groups": (lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=3), [(1, 12, 5, 9), (12, 4, 3, 3), (12,)], GRADIENT),
    "few-outputs": (lambda x, w, b: F.conv2d(x, w, b, padding=1), [(2, 40, 6, 7), (3, 40, 3, 3), (3,)], GRADIENT),
    "few-inputs": (lambda x, w, b: F.conv2d(x, w, b, padding=1), [(2, 3, 6, 7), (40, 3, 3, 3), (40,)], GRADIENT),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), [(3, 10, 9, 7), (10,), (10,)], SAME),
    "batch_norm-large": (lambda x: F.batch_norm(x, None, None, training=True), [(1, 3, 70, 75)], SAME),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), [(2, 6, 5, 6), (6,), (6,)], SAME),
    "instance_norm": (F.instance_norm, [(2, 3, 5, 6)], SAME),
    "softmax": (lambda x: F.softmax(x, dim=1), [(2, 5, 3)], SAME),
    "log_softmax": (lambda x: F.log_softmax(x, dim=1), [(2, 5, 3)], SAME),
    "softmax-long": (lambda x: F.softmax(x, dim=1), [(2, 300, 3)], SAME),
    "log_softmax-long": (lambda x: F.log_softmax(x, dim=-1), [(11, 130)], SAME),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (70,), w, b), [(3, 5, 70), (70,), (70,)], SAME),
    "matmul": (nx.matmul, [(2, 5, 70), (2, 70, 66)], GRADIENT),
    "linear": (F.linear, [(3, 20), (4, 20), (4,)], GRADIENT),
    "cumsum": (lambda x: x.cumsum(dim=1), [(3, 7, 2)], SAME),
    "cumsum-long": (lambda x: x.cumsum(dim=1), [(2, 300, 3)], SAME),
    "cumprod-long": (lambda x: x.cumprod(dim=-1), [(3, 131)], SAME),
    "cat": (lambda x, y: nx.cat([x, y], dim=1), [(2, 3, 2, 2), (2, 1, 2, 2)], SAME),
    "index_select": (lambda x: x.index_select(1, nx.tensor([2, 0, 2]).to(x.device)), [(2, 4, 3)], SAME),
    "gather": (lambda x: x.gather(1, nx.tensor([[[2, 0, 2], [1, 1, 0]]] * 2).to(x.device)), [(2, 4, 3)], SAME),
    "mse_loss": (F.mse_loss, [(4, 5), (4, 5)], SAME),
    "smooth_l1_loss": (lambda x, t: F.smooth_l1_loss(x, t, reduction="none"), [(4, 5), (4, 5)], SAME),
    "bce_with_logits": (lambda x, t, w: F.binary_cross_entropy_with_logits(x, t.sigmoid(), weight=w), [(4, 5), (4, 5), (4, 5)], SAME),
    "binary_cross_entropy": (lambda x, t: F.binary_cross_entropy(x.sigmoid(), (t > 0).to(x.dtype)), [(4, 5), (4, 5)], SAME),
    "cross_entropy": (lambda x: F.cross_entropy(x, nx.tensor([1, -100, 4]).to(x.device), label_smoothing=0.1), [(3, 5)], SAME),
    "cross_entropy-map": (
        lambda x, w: F.cross_entropy(x, nx.tensor([[[1, 0], [2, 2]]]).to(x.device), w.detach().abs()),
        [(1, 3, 2, 2), (3,)],
        SAME,
    ),
    "dice_loss": (lambda x: F.dice_loss(x, on(LABELS, x), activation="softmax", ignore_index=1), [(2, 3, 4, 5)], GRADIENT),
    "focal_tversky_loss": (lambda x: F.focal_tversky_loss(x.sigmoid(), on(MAP > 0, x)), [(2, 3, 4, 5)], GRADIENT),
    "generalized_dice_loss": (lambda x: F.generalized_dice_loss(x.softmax(1), on(LABELS, x)), [(2, 3, 4, 5)], GRADIENT),
    "lovasz_softmax_loss": (lambda x: F.lovasz_softmax_loss(x.softmax(1), on(LABELS, x), ignore_index=2), [(2, 3, 4, 5)], GRADIENT),
    "lovasz_hinge_loss": (lambda x: F.lovasz_hinge_loss(x, on(MAP > 0, x)), [(2, 3, 4, 5)], GRADIENT),
    "boundary_loss": (lambda x: F.boundary_loss(x.sigmoid(), on(MAP > 0, x), spacing=(2.0, 0.5)), [(2, 3, 4, 5)], GRADIENT),
    "soft_cldice_loss": (lambda x: F.soft_cldice_loss(x.sigmoid(), on(MAP > 0, x), 2), [(2, 3, 4, 5)], GRADIENT),
    "focal_loss": (lambda x: F.focal_loss(x, on(LABELS, x), ignore_index=1), [(2, 3, 4, 5)], GRADIENT),
    "sigmoid_focal_loss": (lambda x: F.sigmoid_focal_loss(x, on(MAP > 0, x)), [(2, 3, 4, 5)], GRADIENT),
    "ssim": (lambda x, y: F.ssim(x.sigmoid(), y.sigmoid(), window_size=3), [(1, 2, 6, 5), (1, 2, 6, 5)], 2e-5),
    "cross_entropy-pixel_weight": (
        lambda x: F.cross_entropy(x, on(LABELS, x), pixel_weight=on(MAP[:, 0] ** 2, x)),
        [(2, 3, 4, 5)],
        GRADIENT,
    ),
    "resize_labels": (lambda x: F.resize_labels(x, (2, 3), "max") * x.sum(), [(2, 3, 4, 5)], GRADIENT),
    "sort": (lambda x: nx.sort(x, 1).values * x, [(2, 37, 3)], SAME),
    "sort-descending": (lambda x: nx.sort(nx.round(x), 1, descending=True).indices.to(dtype=x.dtype) * x, [(2, 600, 1)], SAME),
    "topk": (lambda x: nx.topk(x, 3, 0).values, [(16, 5)], SAME),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, (3, 2)), [(2, 3, 7, 5)], SAME),
}


def arrays_of(shapes, dtype="f4"):
    rng = np.random.default_rng(7)
    return [rng.standard_normal(s).astype(dtype) if isinstance(s, tuple) else s for s in shapes]


def outcome(function, arrays, device):
    """The result and the inputs' gradients, on the CPU again."""
    inputs = [nx.tensor(a).to(device) for a in arrays]
    for x in inputs:
        if x.is_floating_point():
            x.requires_grad_(True)
    y = function(*inputs)
    found = [y.numpy()]
    assert y.device == device
    if y.requires_grad:
        weight = np.random.default_rng(8).standard_normal(y.shape).astype(y.dtype)
        y.backward(nx.tensor(weight).to(device))
        found += [x.grad.numpy() for x in inputs if x.grad is not None]
    return found


def check(function, arrays, distance):
    expected, got = (outcome(function, arrays, device) for device in ("cpu", "emulated"))
    assert len(expected) == len(got)
    for e, g in zip(expected, got, strict=True):
        assert (e.shape, e.dtype) == (g.shape, g.dtype)
        if distance == SAME:
            np.testing.assert_array_equal(g, e)
        else:
            assert np.linalg.norm((g - e).ravel()) <= distance * max(np.linalg.norm(e.ravel()), 1e-30)


@pytest.mark.parametrize("name", CASES)
def test_the_emulated_gpu_agrees_with_the_cpu(door, name):
    function, shapes, distance = CASES[name]
    check(function, arrays_of(shapes), distance)
    assert door.launched


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_dropout_draws_the_same_mask(door, dtype):
    x, found = nx.tensor(arrays_of([(4, 9)], dtype)[0]), []
    for device in ("cpu", "emulated"):
        nx.manual_seed(3)
        found.append(F.dropout(x.to(device), 0.4).numpy())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_random_numbers_are_those_of_the_cpu(door, dtype):
    for row, numbers in ((random.random_uniform, (-1.0, 2.0)), (random.random_normal, (1.0, 2.0))):
        found = []
        for device in ("cpu", "emulated"):
            y = backend.empty((1001,), dtype, device)
            row(y, *numbers, 2**63 + 5, 2**40 + 1)
            found.append(backend.to_numpy(y))
        np.testing.assert_array_equal(*found)
    found = []
    for device in ("cpu", "emulated"):
        y = backend.empty((101,), "i8", device)
        random.random_integers(y, -5, 2**63 + 11, 9, 3)
        found.append(backend.to_numpy(y))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, lr=0.1), lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
                                  optim.Adam, lambda p: optim.AdamW(p, amsgrad=True), optim.NAdam, optim.Adamax, optim.Lion, optim.Adagrad, optim.Adadelta,
                                  optim.Rprop, optim.ASGD, lambda p: optim.RMSprop(p, centered=True, momentum=0.9)])  # fmt: skip
def test_optimizers_step_alike(door, make):
    found = []
    for device in ("cpu", "emulated"):
        parameters = [nx.nn.Parameter(nx.tensor(a).to(device)) for a in arrays_of([(3, 4), (5,)])]
        optimizer = make(parameters)
        for step in range(3):
            for p, g in zip(parameters, arrays_of([(3, 4), (5,)]), strict=True):
                p.grad = nx.tensor(g * (step + 1)).to(device)
            optimizer.step()
        found.append([p.numpy() for p in parameters])
    for cpu, gpu in zip(*found, strict=True):
        np.testing.assert_array_equal(gpu, cpu)


@pytest.mark.parametrize("order", [2.0, 1.0, 3.0, float("inf")])
def test_gradients_are_clipped_alike(door, order):
    found = []
    for device in ("cpu", "emulated"):
        parameters = [nx.nn.Parameter(nx.tensor(a).to(device)) for a in arrays_of([(3, 4), (500,)])]
        for p in parameters:
            p.grad = p.detach() * 3.0
        norm = nx.nn.utils.clip_grad_norm_(parameters, 1.0, norm_type=order)
        found.append([norm.numpy(), *(p.grad.numpy() for p in parameters)])
    for cpu, gpu in zip(*found, strict=True):
        np.testing.assert_allclose(gpu, cpu, rtol=2e-7)


def test_running_statistics(door):
    x, mean, var = arrays_of([(4, 3, 5, 6), (3,), (3,)])
    found = []
    for device in ("cpu", "emulated"):
        t, m, v = (nx.tensor(a).to(device) for a in (x, mean, np.abs(var)))
        moved = F.batch_norm(t, m, v, training=True, momentum=0.3)
        found.append([moved.numpy(), m.numpy(), v.numpy(), F.batch_norm(t, m, v).numpy()])
    for cpu, gpu in zip(*found, strict=True):
        np.testing.assert_array_equal(gpu, cpu)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("conv")])
def test_convolutions_and_their_input_gradients_give_the_same_bits(door, name, dtype):
    function, shapes, _ = CASES[name]
    arrays = arrays_of(shapes, dtype)
    cpu, gpu = (outcome(function, arrays, device) for device in ("cpu", "emulated"))
    np.testing.assert_array_equal(gpu[0], cpu[0])
    np.testing.assert_array_equal(gpu[1], cpu[1])
    if len(cpu) > 3:
        np.testing.assert_array_equal(gpu[3], cpu[3])


@pytest.mark.parametrize("name", ["interpolate-bilinear", "max_pool2d", "pad-reflect"])
def test_in_double(door, name):
    function, shapes, distance = CASES[name]
    check(function, arrays_of(shapes, "f8"), distance)


@pytest.mark.parametrize("name", ["interpolate-bicubic", "max_pool2d", "avg_pool2d", "pad-constant"])
def test_arrays_that_touch_a_page_on_the_left(door, name, monkeypatch):
    monkeypatch.setattr(door, "guard", "left")
    function, shapes, distance = CASES[name]
    check(function, arrays_of(shapes), distance)


@pytest.mark.parametrize("count", [255, 256, 5000])
def test_elements_that_meet_are_added_in_order(door, count):
    where = np.random.default_rng(count).integers(0, 9, count)
    check(lambda x: x.index_select(1, on(where, x)), arrays_of([(2, 9, 3)]), SAME)
    check(lambda x: x.gather(1, on(np.resize(where, (2, count, 3)), x)), arrays_of([(2, 9, 3)]), SAME)
    assert ("take_add" in door.kernels) == ("scatter_add" in door.kernels) == (count > 255)


@pytest.mark.parametrize("size", [9, 40])
def test_unpooling_in_order(door, size):
    def spread(x):
        y, indices = F.max_pool2d(x, 3, stride=1, return_indices=True)
        return F.max_unpool2d(y, indices, 3, stride=1)

    check(spread, arrays_of([(1, 2, size, size)]), SAME)
    assert ({"unpool_last", "unpool_sum"} <= set(door.kernels)) == (size == 40)


@pytest.mark.parametrize("n", [2049, 4096, 9000])
@pytest.mark.parametrize("descending", [False, True])
def test_long_lines_are_sorted_in_runs(door, n, descending):
    x = np.random.default_rng(n).integers(-99, 99, (2, n, 2)).astype("f4")
    x[:, ::50] = np.nan
    found = [nx.sort(nx.tensor(x).to(device), 1, descending=descending) for device in ("cpu", "emulated")]
    for cpu, gpu in zip(*found, strict=True):
        np.testing.assert_array_equal(gpu.numpy(), cpu.numpy())
    assert door.kernels.count("sort_merge") == (n > 4096) + (n > 8192)


@pytest.mark.devices
@pytest.mark.parametrize("dtype", ["i8", "u1", "f8"])
@pytest.mark.parametrize("descending", [False, True])
def test_sorting_is_stable_and_puts_nan_last(device, dtype, descending):
    x = np.random.default_rng(0).integers(0, 9, (3, 70)).astype(dtype)
    if dtype == "f8":
        x[:, ::7] = np.nan
    values, indices = nx.sort(nx.Tensor(x).to(device=device), 1, descending=descending)
    rank = np.where(np.isnan(x), 99.0, x) * (-1 if descending else 1)
    want = np.argsort(rank, axis=1, kind="stable")
    assert np.array_equal(indices.to(device="cpu").numpy(), want)
    assert np.array_equal(values.to(device="cpu").numpy(), np.take_along_axis(x, want, 1), equal_nan=dtype == "f8")
