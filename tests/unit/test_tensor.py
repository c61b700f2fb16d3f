"""Tensors: what they are made from, what they refuse, how they leave the library."""

import re
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, GraphError, RangeError, ShapeError


def test_lists_are_float32_and_tensor_infers():
    assert nx.Tensor([1, 2]).dtype == np.float32
    assert nx.tensor([1, 2]).dtype == np.int64
    assert nx.tensor([1.0, 2]).dtype == np.float32
    assert nx.tensor([True, False]).dtype == np.bool_
    assert nx.tensor(3).dtype == np.int64
    assert nx.tensor(2.5).shape == ()
    assert nx.tensor(np.float64(2)).dtype == np.float64


def test_an_array_is_aliased_and_tensor_copies():
    a = np.zeros((2, 3))
    aliased, copied = nx.Tensor(a), nx.tensor(a)
    a[0, 0] = 7
    assert (aliased.numpy()[0, 0], copied.numpy()[0, 0]) == (7, 0)
    assert aliased.data is a
    assert aliased.dtype == np.float64


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?"])
def test_every_number_type_is_kept(dtype):
    a = np.ones(3, dtype)
    assert nx.Tensor(a).dtype == a.dtype


def test_big_endian_is_converted():
    t = nx.Tensor(np.array([1.5, 2.5], ">f4"))
    assert t.dtype.isnative
    assert t.tolist() == [1.5, 2.5]


def test_memory_maps_read_only_and_negative_strides(tmp_path):
    np.arange(6, dtype="f4").tofile(tmp_path / "raw")
    mapped = np.memmap(tmp_path / "raw", dtype="f4", mode="r", shape=(2, 3))
    t = nx.Tensor(mapped)
    assert type(t.data) is np.ndarray
    assert t.to("float64").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert nx.Tensor(np.arange(3.0)[::-1]).to("float32").tolist() == [2, 1, 0]


def test_unaligned_fields_are_copied():
    packed = np.zeros(4, dtype=[("a", "u1"), ("b", "f4")])
    packed["b"] = 2.0
    assert nx.Tensor(packed["b"]).to("float64").tolist() == [2.0] * 4


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (nx.Tensor, ArgumentError, "expected either data or shape=, got neither"),
        (lambda: nx.Tensor([1], shape=(1,)), ArgumentError, "got both"),
        (lambda: nx.Tensor(shape=(1, -2)), ShapeError, "at least 0"),
        (lambda: nx.Tensor(shape=(1, 2.5)), ShapeError, "integers"),
        (lambda: nx.Tensor(shape=(1, float("nan"))), ShapeError, "integers"),
        (lambda: nx.Tensor(shape=(2**40, 2**40)), (ShapeError, MemoryError), "memory"),
        (lambda: nx.Tensor(np.ma.masked_array([1.0])), DTypeError, "masked"),
        (lambda: nx.Tensor(np.array(["a"])), DTypeError, "got <U1"),
        (lambda: nx.Tensor(np.zeros(2, complex)), DTypeError, "complex128"),
        (lambda: nx.Tensor([[1, 2], [3]]), ArgumentError, "equally long"),
        (lambda: nx.Tensor("abc"), ArgumentError, "numbers"),
        (lambda: nx.tensor([1], requires_grad=True), DTypeError, r"int64.*\.float"),
        (lambda: nx.Tensor([1.0, 2]).item(), ShapeError, r"\(2,\)"),
        (lambda: nx.Tensor([1.0], device="tpu"), ArgumentError, '"cuda"'),
        (lambda: nx.Tensor([1.0]).to("nonsense"), DTypeError, "nonsense"),
        (lambda: nx.set_default_device("tpu"), ArgumentError, '"cuda"'),
    ],
)
def test_refusals(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_assign_keeps_shape_type_and_graph():
    x = nx.tensor([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"expected float32\(2,\), got float32\(3,\)"):
        x.assign_([1, 2, 3])
    assert x.tolist() == [1.0, 2.0]
    y = nx.tensor([1.0], requires_grad=True).to("float64")
    with pytest.raises(GraphError, match="leaf"):
        y.assign_([1.0])


def test_numpy_is_a_read_only_view():
    x = nx.tensor([1.0])
    with pytest.raises(ValueError, match="read-only"):
        x.numpy()[0] = 2
    assert np.asarray(x).dtype == np.float32
    assert np.array(x, dtype="f8").tolist() == [1.0]
    assert np.from_dlpack(x).tolist() == [1.0]


def test_conversions_of_one_element():
    x = nx.tensor([[2.5]])
    assert (float(x), int(x), bool(x), x.item()) == (2.5, 2, True, 2.5)
    assert [0, 1, 2][nx.tensor(1)] == 1
    with pytest.raises(DTypeError, match="integer"):
        [0, 1][nx.tensor(1.0)]


def test_casts_follow_numpy_and_their_gradient_returns():
    x = nx.tensor([-1.7, 0.0, 3.9], requires_grad=True)
    assert x.to("int64").tolist() == [-1, 0, 3]
    assert x.to("bool").tolist() == [True, False, True]
    y = x.to(np.float64)
    y.backward(np.array([1.0, 2.0, 3.0]))
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [1, 2, 3]
    assert nx.tensor([1.0]).to("float16").to("float32").tolist() == [1.0]


def test_repr_names_what_is_unusual():
    assert repr(nx.tensor([1.0])) == "tensor([1.])"
    assert "dtype=float64" in repr(nx.Tensor(np.zeros(1)))
    assert "grad_fn=<to>" in repr(nx.tensor([1.0], requires_grad=True).to("float64"))


def test_size_names_an_axis_that_is_there_and_none_equals_nothing():
    x = nx.tensor([[1.0, 2.0]])
    assert (x.size(), x.size(-1), x.nelement(), x.ndimension(), x.is_cpu) == ((1, 2), 2, 2, 2, True)
    with pytest.raises(RangeError, match="size: expected an axis from -2 to 1, got 2"):
        x.size(2)
    assert (x == None, x != None) == (False, True)  # noqa: E711 - the operators are meant
    assert x.H.shape == x.mH.shape == (2, 1)
    assert (x.char().dtype, x.byte().dtype) == (np.int8, np.uint8)


def test_clip_is_clamp():
    """A file of ops that has the name of a function hides the function."""
    x = nx.tensor([-2.0, 0.5, 3.0])
    assert x.clip(-1, 1).tolist() == nx.clip(x, -1, 1).tolist() == [-1.0, 0.5, 1.0]


def test_no_file_of_ops_hides_a_function():
    """An import of ``ops.clip`` after the name ``clip`` was bound would make it the file."""
    bound = set(re.findall(r"(\w+)\s+as\s+\1\b", Path(nx.ops.__file__).read_text()))
    named = {
        found[1]
        for base in nx.Tensor.__mro__
        for member in vars(base).values()
        if (found := re.match(r"See :func:`neurenix\.ops\.(\w+)`", getattr(member, "__doc__", None) or ""))
    }
    assert len(bound) > 300
    assert len(named) > 200
    assert [name for name in sorted(bound | named) if not callable(getattr(nx.ops, name))] == []
