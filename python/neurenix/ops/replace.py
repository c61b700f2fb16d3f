"""New tensors with some elements of others: at indices, under masks, in slices. PyTorch's in-place forms have none here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neurenix import autograd, layout
from neurenix._typing import Array
from neurenix.backend import same_device
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.ops.arithmetic import div, maximum, minimum, mul
from neurenix.ops.compare import eq
from neurenix.ops.convert import cast
from neurenix.ops.diagonals import diagonal
from neurenix.ops.elementwise import filled, scalar
from neurenix.ops.indexing import getitem, nonzero
from neurenix.ops.layouts import where
from neurenix.ops.parts import narrow
from neurenix.ops.reduce import axis_of
from neurenix.ops.scatter import gather, put_at, scatter, scatter_add
from neurenix.ops.shape import broadcast_tensors, broadcast_to, ravel, reshape
from neurenix.tensor import Tensor, as_tensor

_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


def _along(op: str, input: Any, dim: int, index: Any, source: Any) -> tuple[Tensor, int, Tensor, Tensor]:
    """The input, its axis, and the vector of indices spread over the source."""
    x, i = as_tensor(input), as_tensor(index)
    at = axis_of(op, dim, x.ndim)
    s = as_tensor(source, x)
    same_device(op, x._array, i._array, s._array)
    if s.dtype != x.dtype:
        raise DTypeError(f"{op}: expected a source of type {x.dtype}, got {s.dtype}; convert it with .to({x.dtype})")
    if i.ndim > 1 or i.dtype.kind not in "iu":
        raise ShapeError(f"{op}: expected a vector of integer indices, got {i.dtype}{i.shape}; use .ravel().long()")
    i = reshape(i, -1)
    if not x.ndim:
        return reshape(x, 1), 0, i, reshape(s, -1)
    wanted = (*x.shape[:at], i.shape[0], *x.shape[at + 1 :])
    if s.shape != wanted:
        raise ShapeError(f"{op}: expected a source of shape {wanted}, got {s.shape}; give one slice an index")
    return x, at, i, s


def _spread(i: Tensor, at: int, shape: tuple[int, ...]) -> Tensor:
    return broadcast_to(reshape(i, *((1,) * at), -1, *((1,) * (len(shape) - at - 1))), shape)


def index_add(input: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Tensor:
    """``input`` with ``alpha`` times the slices of ``source`` added at ``index`` along ``dim``, in order.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.index_add(nx.zeros(3), 0, nx.tensor([2, 2]), nx.ones(2))
    tensor([0., 0., 2.])
    """
    x, at, i, s = _along("index_add", input, dim, index, source)
    added = scatter_add(x, at, _spread(i, at, s.shape), s if alpha == 1 else mul(s, alpha))
    return reshape(added, as_tensor(input).shape)


def index_copy(input: Any, dim: int, index: Any, source: Any) -> Tensor:
    """``input`` with the slices of ``source`` at ``index``, a vector, along ``dim``; the last of equals wins.

    Raises
    ------
    ShapeError
        If the source has not one slice an index.
    DTypeError
        If the types differ.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.index_copy(nx.zeros(3, 2), 0, nx.tensor([2, 0]), nx.tensor([[1.0, 1.0], [2.0, 2.0]]))
    tensor([[2., 2.],
            [0., 0.],
            [1., 1.]])
    """
    x, at, i, s = _along("index_copy", input, dim, index, source)
    return reshape(put_at("index_copy", x, at, _spread(i, at, s.shape), s), as_tensor(input).shape)


def index_fill(input: Any, dim: int, index: Any, value: Any) -> Tensor:
    """``input`` with one value, a number or 0-d tensor, in the slices ``index`` along ``dim``; a :class:`ShapeError` for other values.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.index_fill(nx.zeros(2, 3), 1, nx.tensor([0, 2]), 7)
    tensor([[7., 0., 7.],
            [7., 0., 7.]])
    """
    x = as_tensor(input)
    filler = as_tensor(value, x)
    if filler.ndim:
        raise ShapeError(f"index_fill: expected a number or a 0-d tensor, got shape {filler.shape}; use index_copy")
    at, i = axis_of("index_fill", dim, x.ndim), reshape(as_tensor(index), -1)
    line = x if x.ndim else reshape(x, 1)
    hit = scatter(Tensor._wrap(filled(x._array, (line.shape[at],), False, np.bool_)), 0, i, True)
    chosen = where(_spread(hit, at, line.shape), cast(filler, x.dtype), line)
    return reshape(chosen, x.shape)


def index_put(input: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Tensor:
    """``input`` with ``values`` at ``input[indices]``, or added there with ``accumulate``; the last of equals wins.

    Raises
    ------
    DTypeError, ShapeError
        Unless the values have the input's type and broadcast to ``input[indices]``.

    Examples
    --------
    >>> import neurenix as nx
    >>> rows, columns = nx.tensor([0, 1]), nx.tensor([2, 0])
    >>> nx.index_put(nx.zeros(2, 3), (rows, columns), nx.tensor([5.0, 6.0]))
    tensor([[0., 0., 5.],
            [6., 0., 0.]])
    """
    x, v = as_tensor(input), as_tensor(values, as_tensor(input))
    same_device("index_put", x._array, v._array)
    if v.dtype != x.dtype:
        raise DTypeError(f"index_put: expected values of type {x.dtype}, got {v.dtype}; convert them with .to({x.dtype})")
    numbers = Tensor(np.arange(math.prod(x.shape)).reshape(x.shape), device=x.device)
    places = getitem(numbers, tuple(slice(None) if i is None else as_tensor(i) for i in indices))
    try:
        spread = ravel(broadcast_to(v, places.shape))
    except ShapeError:
        raise ShapeError(f"index_put: expected values that broadcast to {places.shape}, got {v.shape}; reshape them") from None
    flat = ravel(x)
    put = scatter_add(flat, 0, ravel(places), spread) if accumulate else put_at("index_put", flat, 0, ravel(places), spread)
    return reshape(put, x.shape)


def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Tensor:
    """``input`` with ``source`` at places of the flattened input, or added there with ``accumulate``; the last of equals wins.

    Raises
    ------
    ShapeError
        If there are not as many values as places.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.zeros(2, 2).put(nx.tensor([0, 3]), nx.tensor([5.0, 6.0]))
    tensor([[5., 0.],
            [0., 6.]])
    """
    x, i = as_tensor(input), as_tensor(index)
    s = as_tensor(source, x)
    if math.prod(s.shape) != math.prod(i.shape):
        raise ShapeError(f"put: expected as many values as places, got {s.shape} for {i.shape}; give one each")
    return reshape(index_put(ravel(x), (ravel(i),), ravel(s), accumulate), x.shape)


def masked_scatter(input: Any, mask: Any, source: Any) -> Tensor:
    """``input`` with the elements of ``source``, in order, where the bool ``mask`` holds.

    Raises
    ------
    ShapeError
        If the source has too few.
    DTypeError
        If the mask is not of bools, or the types differ.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.masked_scatter(nx.zeros(4), nx.tensor([True, False, True, False]), nx.tensor([1.0, 2.0]))
    tensor([1., 0., 2., 0.])
    """
    x, m = broadcast_tensors(input, mask)
    s = ravel(as_tensor(source, x))
    same_device("masked_scatter", x._array, m._array, s._array)
    if m.dtype != np.bool_ or s.dtype != x.dtype:
        raise DTypeError(f"masked_scatter: expected a bool mask and a source of {x.dtype}, got {m.dtype} and {s.dtype}; convert them")
    places = reshape(nonzero(ravel(m)), -1)
    if s.shape[0] < places.shape[0]:
        raise ShapeError(f"masked_scatter: expected at least {places.shape[0]} source elements, got {s.shape[0]}; give more")
    return reshape(put_at("masked_scatter", ravel(x), 0, places, narrow(s, 0, 0, places.shape[0])), x.shape)


# --- reductions at indices


def scatter_reduce(input: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Tensor:
    """``input`` with what of ``src`` goes to each place along ``dim`` reduced, together with what is there if ``include_self``.

    Parameters
    ----------
    input, src : Tensor
    dim : int
    index : Tensor of int
    reduce : {"sum", "prod", "mean", "amax", "amin"}
    include_self : bool

    Raises
    ------
    ArgumentError
        For another ``reduce``.

    Examples
    --------
    >>> import neurenix as nx
    >>> labels, values = nx.tensor([0, 1, 0, 1]), nx.tensor([1.0, 5.0, 3.0, 2.0])
    >>> nx.scatter_reduce(nx.zeros(2), 0, labels, values, "amax")
    tensor([3., 5.])
    >>> nx.scatter_reduce(nx.zeros(2), 0, labels, values, "mean", include_self=False)
    tensor([2. , 3.5])
    """
    if reduce not in _REDUCTIONS:
        raise ArgumentError(f"scatter_reduce: expected reduce of {', '.join(_REDUCTIONS)}, got {reduce!r}; choose one of them")
    x, i, s = as_tensor(input), as_tensor(index), as_tensor(src)
    same_device("scatter_reduce", x._array, i._array, s._array)
    line, places, more = (reshape(t, 1) if not t.ndim else t for t in (x, i, s))
    at = axis_of("scatter_reduce", dim, line.ndim)
    cut = getitem(more, tuple(slice(0, n) for n in places.shape)) if more.shape != places.shape else more
    if not places._array.size:
        return x
    hit = None
    if not include_self or reduce == "mean":
        ones = Tensor._wrap(filled(x._array, places.shape, 1, np.int64))
        hit = scatter_add(Tensor._wrap(filled(x._array, line.shape, 0, np.int64)), at, places, ones)
    neutral = {"sum": 0, "mean": 0, "prod": 1, "amax": -math.inf, "amin": math.inf}[reduce]
    start = line
    if not include_self and hit is not None:
        start = where(eq(hit, 0), line, _neutral(line, neutral))
    if reduce in ("amax", "amin"):
        y = _extreme(start, at, places, cut, maximum if reduce == "amax" else minimum, line)
    else:
        y = _reduced(start, at, places, cut, reduce, hit, include_self)
    return reshape(y, x.shape)


def _neutral(x: Tensor, value: float) -> Tensor:
    if x.dtype == np.bool_:
        return Tensor._wrap(scalar(x._array, value > 0))
    if x.dtype.kind in "iu" and value in (math.inf, -math.inf):
        return Tensor._wrap(scalar(x._array, int(np.iinfo(x.dtype).max if value > 0 else np.iinfo(x.dtype).min)))
    return Tensor._wrap(scalar(x._array, value))


def _reduced(x: Tensor, at: int, i: Tensor, s: Tensor, reduce: str, hit: Tensor | None, with_self: bool) -> Tensor:
    if reduce == "sum":
        return scatter_add(x, at, i, s)
    if reduce == "mean" and hit is not None:
        count = hit + 1 if with_self else where(eq(hit, 0), 1, hit)
        total = scatter_add(x, at, i, s)
        if x.dtype.kind == "f":
            return div(total, cast(count, x.dtype))
        return div(total, cast(count, x.dtype), rounding_mode="floor")
    return _one_by_one(x, at, i, s, mul)


def _one_by_one(x: Tensor, at: int, i: Tensor, s: Tensor, step: Callable[[Any, Any], Tensor]) -> Tensor:
    """Slice after slice of the source, so that each place is reached once a time."""
    for k in range(i.shape[at]):
        place, value = narrow(i, at, k, 1), narrow(s, at, k, 1)
        x = put_at("scatter_reduce", x, at, place, step(gather(x, at, place), value))
    return x


def _extreme(x: Tensor, at: int, i: Tensor, s: Tensor, step: Callable[[Any, Any], Tensor], own: Tensor) -> Tensor:
    """Extremes at indices; equals share the gradient, and ``own``, what is there, has its share even where it does not take part."""
    old, new, held = x.detach(), s.detach(), own.detach()
    y = _one_by_one(old, at, i, new, step)

    def vjp(g: Array) -> tuple[Array, ...]:
        stays, comes = cast(eq(old, y), x.dtype), cast(eq(new, gather(y, at, i)), x.dtype)
        share = div(Tensor._wrap(g), scatter_add(cast(eq(held, y), x.dtype), at, i, comes))
        return mul(stays, share)._array, mul(comes, gather(share, at, i))._array

    return autograd.record("scatter_reduce", y._array, (x, s), vjp)


def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Tensor:
    """:func:`scatter_reduce` of whole slices: ``reduce`` is "prod", "mean", "amax" or "amin", else an :class:`ArgumentError`.

    Examples
    --------
    >>> import neurenix as nx
    >>> rows = nx.tensor([[1.0, 4.0], [3.0, 2.0]])
    >>> nx.index_reduce(nx.zeros(2, 2), 0, nx.tensor([0, 0]), rows, "amax")
    tensor([[3., 4.],
            [0., 0.]])
    """
    x, at, i, s = _along("index_reduce", input, dim, index, source)
    if reduce not in _REDUCTIONS[1:]:
        raise ArgumentError(f"index_reduce: expected reduce of {', '.join(_REDUCTIONS[1:])}, got {reduce!r}; choose one of them")
    reduced = scatter_reduce(x, at, _spread(i, at, s.shape), s, reduce, include_self=include_self)
    return reshape(reduced, as_tensor(input).shape)


# --- slices


def _into(name: str, input: Any, src: Any, view: Any) -> Tensor:
    """``input`` with ``src`` in the place of ``view(input)``, which shares its memory."""
    x, s = as_tensor(input), as_tensor(src)
    same_device(name, x._array, s._array)
    if s.dtype != x.dtype:
        raise DTypeError(f"{name}: expected src of type {x.dtype}, got {s.dtype}; convert it with .to({x.dtype})")
    y = layout.copy(layout.contiguous(x._array))
    target = view(y)
    if target.shape != s.shape:
        raise ShapeError(f"{name}: expected src of shape {target.shape}, got {s.shape}; reshape it")
    layout.copy_into(target, s._array)

    def vjp(g: Array) -> tuple[Array, Array]:
        rest = layout.copy(layout.contiguous(g))
        hole = view(rest)
        layout.copy_into(hole, filled(g, hole.shape, 0.0))
        return rest, view(layout.contiguous(g))

    return autograd.record(name, y, (x, s), vjp)


def select_scatter(input: Any, src: Any, dim: int, index: int) -> Tensor:
    """``input`` with ``src`` as slice ``index`` along ``dim``; a :class:`ShapeError` if there is none, or ``src`` has another shape.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.select_scatter(nx.zeros(2, 3), nx.ones(2), dim=1, index=-1)
    tensor([[0., 0., 1.],
            [0., 0., 1.]])
    """
    x = as_tensor(input)
    at = axis_of("select_scatter", dim, x.ndim)
    if not x.ndim or not -x.shape[at] <= index < x.shape[at]:
        raise ShapeError(f"select_scatter: expected an index inside axis {dim} of {x.shape}, got {index}; check dim")
    return _into("select_scatter", x, src, lambda a: a[(slice(None),) * at + (int(index), ...)])


def slice_scatter(input: Any, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    """``input`` with ``src`` in the slice ``start:end:step`` along ``dim``; a :class:`ShapeError` if ``src`` has not its shape.

    Raises
    ------
    ArgumentError
        If ``step`` is below 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.slice_scatter(nx.zeros(5), nx.ones(2), start=1, step=2, end=5)
    tensor([0., 1., 0., 1., 0.])
    """
    x = as_tensor(input)
    at = axis_of("slice_scatter", dim, x.ndim)
    if step < 1:
        raise ArgumentError(f"slice_scatter: expected a step of at least 1, got {step}; flip src instead")
    return _into("slice_scatter", x, src, lambda a: a[(slice(None),) * at + (slice(start, end, step),)])


def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """``input`` with ``src`` on the diagonal of two axes, see :func:`diagonal`; a :class:`ShapeError` if ``src`` has not its shape.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.diagonal_scatter(nx.zeros(2, 2), nx.tensor([1.0, 2.0]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    x, s = as_tensor(input), as_tensor(src)
    same_device("diagonal_scatter", x._array, s._array)
    numbers = diagonal(Tensor(np.arange(math.prod(x.shape)).reshape(x.shape)), offset, dim1, dim2)
    places = Tensor(np.ascontiguousarray(numbers.numpy()), device=x.device)
    if places.shape != s.shape or s.dtype != x.dtype:
        raise ShapeError(f"diagonal_scatter: expected src {x.dtype}{places.shape}, got {s.dtype}{s.shape}; reshape or convert it")
    return reshape(put_at("diagonal_scatter", ravel(x), 0, ravel(places), ravel(s)), x.shape)
