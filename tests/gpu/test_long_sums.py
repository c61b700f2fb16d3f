"""Sums that several blocks share and a last one joins: as long as that takes."""

import numpy as np
import pytest
from gpu import emulated
from gpu.test_sampling import rows_agree

import neurenix as nx
from neurenix import backend
from neurenix.ops import loss, norm, optim
from neurenix.ops._derived import checksum

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [0, 1, 4096, 65537, 70000, 300 * 4096 + 5])
def test_sums_of_losses_have_the_bits_of_the_cpu(door, size):
    x, t = RNG.standard_normal((2, size)).astype("f4")
    rows_agree(loss.loss_sum, [0], np.zeros(1, "f4"), x, 3.0)
    if size:
        rows_agree(loss.loss_elements_sum, [0], np.zeros(1, "f4"), x, t, None, None, size, 0, 0.0, 0.0, 1.0)
        rows_agree(loss.loss_ratio, [0, 1], np.zeros(1, "f4"), np.zeros(1, "f4"), x, t[: size // 2 + 1])
    assert ("loss_total" in door.kernels) == (size > 65536)


@pytest.mark.parametrize("shape", [(2, 7, 300, 9), (1, 45, 52, 17), (1, 4, 1100, 2)])
def test_moments_of_many_units_have_the_bits_of_the_cpu(door, shape):
    n, h, w, c = shape
    x, g = RNG.standard_normal((2, n, h, w, c)).astype("f4") + 3
    rows_agree(norm.norm_moments, [1, 2], x, np.zeros((n, c)), np.zeros((n, c)), n, h, w, c)
    table = RNG.standard_normal((3, 1, c))
    given = (table[0].copy(), table[1].astype("f4"), table[2].astype("f4"))
    rows_agree(norm.norm_backward_sums, [2, 3], g, x, np.zeros((n, c)), np.zeros((n, c)), *given, 1, n, h, w, c, 1)
    assert {"norm_moments_merged", "norm_backward_merged"} <= set(door.kernels)


@pytest.mark.parametrize("order", [2.0, 1.0, 3.0, np.inf])
def test_norms_of_long_gradients(door, order):
    arrays, found = [RNG.standard_normal(n).astype("f4") for n in (40000, 5, 16385)], []
    for device in ("cpu", "emulated"):
        total = backend.empty((1,), "f8", device)
        optim.total_norm([backend.to_device(a, device) for a in arrays], total, order)
        found.append(backend.to_numpy(total)[0])
    np.testing.assert_allclose(found[1], found[0], rtol=0 if order == np.inf else 1e-14)
    assert "total_norm_joined" in door.kernels


def test_a_checksum_of_many_blocks_sees_every_element(door):
    x, found = np.arange(40000, dtype="f4"), []
    for at in (None, 0, 20000, 39999):
        if at is not None:
            x[at] += 1
        total = backend.empty((1,), "i8", "emulated")
        checksum(emulated.door.from_numpy(x, "emulated"), total)
        found.append(int(backend.to_numpy(total)[0]))
    assert len(set(found)) == 4
    assert "checksum_total" in door.kernels


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
@pytest.mark.parametrize("shape", [(40000,), (3, 9001), (20011, 5)])
def test_reductions_of_many_elements(door, dtype, shape):
    x = (RNG.standard_normal(shape) * 9).astype(dtype)
    x.reshape(-1)[-3] = 50
    for array in (x, np.asfortranarray(x)):
        t, axis = nx.Tensor(np.ascontiguousarray(array.T), device="emulated").permute(*range(x.ndim)[::-1]), int(shape[0] == 3)
        for name in ("sum", "amax", "amin", *(("mean", "var", "std", "logsumexp") if dtype != "i8" else ())):
            expected = getattr(nx.Tensor(x), name)(dim=axis).numpy()
            got = getattr(t, name)(dim=axis).numpy()
            if name in ("amax", "amin") or dtype == "i8":
                np.testing.assert_array_equal(got, expected)
            else:
                np.testing.assert_allclose(got, expected, rtol=3e-7 if dtype == "f4" else 1e-13, atol=1e-4 if dtype == "f4" else 1e-10)
    assert {"reduce_joined"} | ({"reduce_again"} if dtype != "i8" else set()) <= set(door.kernels)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1"])
@pytest.mark.parametrize(("shape", "dim"), [((40000,), 0), ((3, 20000), 1), ((20000, 3), 0), ((5, 7), 1)])
def test_places_of_extremes_that_blocks_share(door, shape, dim, dtype):
    x = RNG.integers(0, 99, shape).astype(dtype)
    found = []
    for device in ("cpu", "emulated"):
        t = nx.Tensor(x).to(device)
        found.append([nx.argmax(t, dim).numpy(), nx.argmin(t, dim).numpy()])
    np.testing.assert_array_equal(*found)
    assert ("arg_joined" in door.kernels) == (len(shape) == 1 or max(shape) > 9)


def test_the_first_nan_of_many_blocks_is_found(door):
    x = RNG.standard_normal(40000).astype("f4")
    x[[31000, 17000, 25000]] = np.nan
    assert nx.argmax(nx.Tensor(x).to("emulated"), 0).item() == 17000
