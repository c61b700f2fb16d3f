"""What holds for every differentiable operation, whatever it computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from properties.draws import Draw
from properties.layouts import pair
from properties.table import ROWS, load

import neurenix as nx
from neurenix import testing

load()
EVERY = sorted(ROWS)
LINEAR = [name for name in EVERY if ROWS[name].linear]
BATCHED = [name for name in EVERY if ROWS[name].batched]
OF_ITS_OWN_TYPE = {
    "rrelu/training",
    "gumbel_softmax",
    "float_power",
}  # draws other numbers in float32 than in float64; gives float64 always
UNDEFINED_WHERE_CONSTANT = {"corrcoef", "std", "std_mean"}  # a spread of 0 has no slope, and rounding makes it 0 or nearly 0
EMPTY = [name for name in EVERY if ROWS[name].empty]


def results(fn, arrays, dtype=np.float64, device="cpu"):
    """Outputs and gradients, as arrays."""
    tensors = [nx.Tensor(a, device=device) if a.dtype.kind != "f" else nx.Tensor(a, dtype=dtype, device=device) for a in arrays]
    for t in tensors:
        if t.dtype.kind == "f":
            t.requires_grad_()
    outs = fn(*tensors)
    outs = list(outs) if isinstance(outs, (tuple, list)) else [outs]
    weights = [testing.random_array(*o.shape, seed=7).astype(o.dtype) for o in outs]
    assert {o.device for o in outs} == {device}
    nx.autograd.backward([(o, nx.Tensor(w, device=device)._array) for o, w in zip(outs, weights, strict=True) if o.requires_grad])
    grads = [t.grad for t in tensors if t.dtype.kind == "f"]
    return [o.numpy() for o in outs], [None if g is None else g.numpy() for g in grads]


def examples(names, empty=False):
    """One test a row, each with examples of that row."""

    def decorate(test):
        @pytest.mark.parametrize("name", names)
        @given(data=st.data())
        def run(name, data):
            d = Draw(data.draw, empty)
            fn, *arrays = ROWS[name].make(d)
            test(ROWS[name], d, fn, arrays)

        run.__name__ = test.__name__
        run.__doc__ = test.__doc__
        return run

    return decorate


@examples(EVERY)
def test_gradient_is_the_derivative(row, d, fn, arrays):
    testing.check_gradient(fn, *arrays, tolerance=row.tolerance)


@examples(EVERY)
def test_used_twice(row, d, fn, arrays):
    testing.check_used_twice(fn, *arrays)


@examples(LINEAR)
def test_backward_is_the_adjoint(row, d, fn, arrays):
    for i in row.linear:
        if i < len(arrays):
            weights = None

            def one(x, i=i):
                return fn(*(x if k == i else nx.Tensor(a) for k, a in enumerate(arrays)))

            with nx.no_grad():
                ax, a0 = one(nx.Tensor(arrays[i])).numpy(), one(nx.Tensor(np.zeros_like(arrays[i]))).numpy()
            weights = testing.random_array(*ax.shape, seed=11)
            (back,) = testing.gradients(one, [arrays[i]], [weights])
            left, right = np.vdot(ax - a0, weights), np.vdot(arrays[i], back)
            assert abs(left - right) <= 1e-11 * max(1.0, np.linalg.norm(ax) * np.linalg.norm(weights)), f"input {i}: {left} against {right}"


@examples(EVERY)
def test_memory_order_does_not_matter(row, d, fn, arrays):
    pairs = [pair(a, d, row.name not in UNDEFINED_WHERE_CONSTANT) for a in arrays]
    plain, strided = results(fn, [p for p, _ in pairs]), results(fn, [s for _, s in pairs])
    for a, b in zip([*plain[0], *plain[1]], [*strided[0], *strided[1]], strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-11)


@examples(EVERY)
def test_threads_give_the_same_bits(row, d, fn, arrays):
    before = nx.get_num_threads()
    found = []
    for threads in (1, 2, 3):
        nx.set_num_threads(threads)
        try:
            found.append(results(fn, arrays, np.float32))
        finally:
            nx.set_num_threads(before)
    for more in found[1:]:
        for a, b in zip([*found[0][0], *found[0][1]], [*more[0], *more[1]], strict=True):
            assert (a is None and b is None) or testing.assert_same_bits(a, b) is None


@examples(BATCHED)
def test_parts_of_a_batch_give_the_same_bits(row, d, fn, arrays):
    size = arrays[row.batched[0]].shape[:1]
    if not size or size[0] < 2:
        return
    for dtype in (np.float32, np.float64):
        tensors = [nx.Tensor(a) if a.dtype.kind != "f" else nx.Tensor(a, dtype=dtype) for a in arrays]
        with nx.no_grad():
            whole = fn(*tensors).numpy()
            for part in (slice(0, 1), slice(1, None)):
                some = fn(*(t[part] if i in row.batched else t for i, t in enumerate(tensors))).numpy()
                testing.assert_same_bits(some, whole[part])


@examples([name for name in EVERY if name not in OF_ITS_OWN_TYPE])
def test_float32_is_near_float64(row, d, fn, arrays):
    wide, narrow = results(fn, arrays), results(fn, arrays, np.float32)
    for a, b in zip([*wide[0], *wide[1]], [*narrow[0], *narrow[1]], strict=True):
        if a is not None and a.dtype.kind == "f":
            assert b.dtype == np.float32
            np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(a).max(initial=0))))


@examples(EMPTY, empty=True)
def test_arrays_of_no_elements(row, d, fn, arrays):
    outs, grads = results(fn, arrays)
    floats = [a for a in arrays if a.dtype.kind == "f"]
    assert all(g is None or g.shape == a.shape for g, a in zip(grads, floats, strict=True))
    assert outs
