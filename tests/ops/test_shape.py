"""Views, parts, new tensors."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, RangeError, ShapeError
from neurenix.testing import check_adjoint, random_array

X = random_array(2, 3, 4, 5)
LAST = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
VIEWS = [
    (lambda t: t.reshape(6, -1), lambda a: a.reshape(6, -1)), (lambda t: nx.reshape(t, (2, 60)), lambda a: a.reshape(2, 60)),
    (lambda t: t.view(120), lambda a: a.reshape(120)), (lambda t: t.flatten(1), lambda a: a.reshape(2, 60)),
    (lambda t: t.flatten(1, 2), lambda a: a.reshape(2, 12, 5)), (lambda t: t.unflatten(2, (2, -1)), lambda a: a.reshape(2, 3, 2, 2, 5)),
    (lambda t: t.permute(3, 0, 2, 1), lambda a: a.transpose(3, 0, 2, 1)), (lambda t: t.transpose(1, -1), lambda a: a.swapaxes(1, 3)),
    (lambda t: t.movedim((0, 1), (2, 0)), lambda a: np.moveaxis(a, (0, 1), (2, 0))), (lambda t: t.unsqueeze(-1), lambda a: a[..., None]),
    (lambda t: t[:1].squeeze(), lambda a: a[0]), (lambda t: t[:1].squeeze(1), lambda a: a[:1]), (lambda t: t.mT, lambda a: a.swapaxes(2, 3)),
    (lambda t: t[:, :1].expand(7, -1, 3, -1, -1), lambda a: np.broadcast_to(a[:, :1], (7, 2, 3, 4, 5))), (lambda t: t.contiguous(), lambda a: a),
    (lambda t: t.narrow(2, 1, 2), lambda a: a[:, :, 1:3]), (lambda t: t.select(1, -1), lambda a: a[:, -1]), (lambda t: t.clone(), lambda a: a),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(VIEWS)))
@pytest.mark.parametrize("x", [X, LAST], ids=["NCHW", "NHWC"])
def test_views_follow_logical_order(case, x):
    ours, theirs = VIEWS[case]
    np.testing.assert_array_equal(ours(nx.Tensor(x)).numpy(), theirs(X))
    check_adjoint(ours, x)


def test_views_share_memory_where_they_can():
    x = nx.tensor(X)
    for y in (x.reshape(6, 20), x.permute(0, 2, 3, 1), x[:, 1:], x.unsqueeze(0), x.expand(2, 2, 3, 4, 5), x.permute(1, 0, 2, 3).flatten(2)):
        assert np.shares_memory(y.numpy(), x.numpy())
    assert not np.shares_memory(nx.Tensor(LAST).flatten(1).numpy(), LAST)
    assert np.shares_memory(nx.Tensor(LAST).unsqueeze(2).numpy(), LAST)


def test_empty_and_scalar_shapes():
    assert nx.zeros(0, 3).reshape(3, 0).shape == (3, 0)
    assert nx.zeros(0, 3).reshape(0, 1, 3).shape == (0, 1, 3)
    assert nx.tensor(1.0).reshape(1, 1).shape == (1, 1)
    assert nx.tensor(1.0).flatten().shape == (1,)
    assert nx.tensor([[1.0]]).squeeze().shape == ()
    assert nx.tensor(1.0).unsqueeze(0).shape == (1,)
    assert nx.zeros(2, 0, 3).permute(2, 1, 0).flatten(1).shape == (3, 0)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_cat_stack_split(dim):
    parts = [np.moveaxis(random_array(n, 3, 4), 0, 0 if dim == 0 else dim) for n in (2, 1, 3)]
    np.testing.assert_array_equal(nx.cat(parts, dim).numpy(), np.concatenate(parts, dim))
    check_adjoint(lambda t: nx.cat([t, parts[1], t], dim) - nx.cat([0 * t, parts[1], 0 * t], dim), parts[0])
    np.testing.assert_array_equal(nx.stack([X, X], dim).numpy(), np.stack([X, X], dim))
    whole = np.concatenate(parts, dim)
    for got, want in zip(nx.split(whole, [2, 1, 3], dim), parts, strict=True):
        np.testing.assert_array_equal(got.numpy(), want)
    check_adjoint(lambda t: nx.split(t, [2, 1, 3], dim)[1], whole)
    check_adjoint(lambda t: nx.cat([*nx.chunk(t, 4, dim), *nx.unbind(nx.unsqueeze(t, 0))], dim), whole)


def test_cat_keeps_channels_last():
    y = nx.cat([nx.Tensor(LAST), nx.Tensor(LAST)], 1)
    assert y.numpy().transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_array_equal(y.numpy(), np.concatenate([X, X], 1))
    assert nx.cat([nx.zeros(0), nx.ones(2, 2)], 1).shape == (2, 2)
    assert nx.cat([nx.tensor([1]), nx.tensor([0.5])]).dtype == np.float32


def test_split_sizes():
    x = nx.arange(7)
    assert [p.tolist() for p in x.split(3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [len(p) for p in x.chunk(3)] == [3, 3, 1]
    assert [len(p) for p in x.chunk(9)] == [1] * 7
    assert [p.item() for p in x.unbind()] == list(range(7))
    assert [len(p) for p in nx.zeros(0).split(2)] == [0]


def test_new_tensors():
    assert nx.zeros(2, 3).shape == nx.ones((2, 3)).shape == nx.empty([2, 3]).shape == (2, 3)
    assert nx.full((2,), 7).dtype == np.int64
    assert nx.full(2, 0.5).tolist() == [0.5, 0.5]
    assert nx.full((), True).dtype == np.bool_
    assert nx.ones_like(nx.tensor([1])).dtype == np.int64
    assert nx.zeros_like(X, dtype=nx.float32).dtype == np.float32
    assert nx.full_like(X, 2.0).numpy().sum() == 2 * X.size
    assert nx.arange(3).tolist() == [0, 1, 2]
    assert nx.arange(1.0, 2.0, 0.25).tolist() == [1.0, 1.25, 1.5, 1.75]
    assert nx.arange(3, 0, -2).tolist() == [3, 1]
    assert nx.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0]
    assert nx.logspace(0, 2, 3).tolist() == [1.0, 10.0, 100.0]
    assert nx.eye(2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    for ours, theirs in zip(nx.meshgrid(nx.arange(2), nx.arange(3), indexing="xy"), np.meshgrid(np.arange(2), np.arange(3)), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)
    array = np.arange(3.0)
    assert np.shares_memory(nx.from_numpy(array).numpy(), array)
    assert np.shares_memory(nx.from_dlpack(array).numpy(), array)
    assert nx.zeros(2, requires_grad=True).requires_grad


def test_types_of_a_tensor():
    x = nx.tensor([0.0, 1.5])
    kinds = [x.double(), x.half(), x.long(), x.int(), x.bool(), x.type("int8"), x.type_as(nx.tensor([True]))]
    assert [str(t.dtype) for t in kinds] == ["float64", "float16", "int64", "int32", "bool", "int8", "bool"]


def test_errors():
    x = nx.zeros(2, 3)
    cases = [
        (lambda: x.reshape(4, 2), ShapeError, r"reshape: expected 6 elements as in shape \(2, 3\), got \(4, 2\)"),
        (lambda: x.reshape(-1, -1), ShapeError, "reshape: expected sizes of at least 0 and at most one -1"),
        (lambda: x.reshape(1.5), DTypeError, "reshape: expected integers, got 1.5"),
        (lambda: nx.zeros(0).reshape(0, -1), ShapeError, "reshape: expected sizes that decide the -1"),
        (lambda: x.permute(0, 0), ArgumentError, "permute: expected each of 2 axes once"),
        (lambda: x.expand(3, 3), ShapeError, r"expand: expected sizes that \(2, 3\) broadcasts to"),
        (lambda: x.flatten(1, 0), ShapeError, "flatten: expected start_dim before end_dim"),
        (lambda: nx.cat([x, nx.zeros(2, 4)]), ShapeError, "cat: expected equal sizes but along dim 0"),
        (lambda: nx.cat([]), ArgumentError, "cat: expected at least one tensor, got none"),
        (lambda: nx.stack([x, nx.zeros(2)]), ShapeError, "stack: expected tensors of one shape"),
        (lambda: x.split([1, 2]), ArgumentError, "split: expected sizes of at least 0 that sum to 2"),
        (lambda: x.split(0), ArgumentError, "split: expected a size of at least 1"),
        (lambda: x.narrow(1, 2, 2), RangeError, "narrow: expected a part of 0 to 3"),
        (lambda: x.select(0, 2), RangeError, "select: expected an index from -2 to 1"),
        (lambda: x.movedim(0, (0, 1)), ArgumentError, "movedim: expected as many different sources"),
        (lambda: nx.zeros(2, 2, 2).t(), ShapeError, "t: expected at most 2 axes"),
        (lambda: x.repeat(2), ShapeError, "repeat: expected at least 2 numbers"),
        (lambda: nx.zeros(-1), ShapeError, "zeros: expected sizes that are integers of at least 0"),
        (lambda: nx.arange(0, 3, -1), ArgumentError, "arange: expected a step that leads from 0 to 3"),
        (lambda: nx.ones(2, dtype="complex64"), DTypeError, "ones: expected a float, integer or bool type"),
        (lambda: nx.from_dlpack([1.0]), DTypeError, "from_dlpack: expected an object with __dlpack__"),
    ]
    for run, kind, text in cases:
        with pytest.raises(kind, match=text):
            run()
