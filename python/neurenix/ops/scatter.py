"""Elements by an index tensor: the kernel rows, gather, scatter, index_select, embedding.

Gradients are sums of segments in a fixed order, so they do not depend on threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import autograd, layout
from neurenix._typing import Array
from neurenix.backend import new, same_device, to_numpy
from neurenix.backend.kernel import In, Index, IndexOut, InOut, Mask, Out, Size, kernel
from neurenix.errors import ArgumentError, DTypeError, RangeError, ShapeError
from neurenix.ops.elementwise import IntegerBinary, Question, ask, choose, common_shape, filled, integer_map2, scalar
from neurenix.ops.reduce import Fold, axis_of, fold
from neurenix.ops.softmax import sizes_around
from neurenix.tensor import Tensor, as_tensor


@kernel("bytes")
def take(y: Out, x: In, index: Index, outer: Size, n: Size, inner: Size) -> None:
    """y[o, j, i] = x[o, index[j], i]."""


@kernel("wide")
def take_sum(gx: Out, g: In, index: Index, outer: Size, n: Size, inner: Size) -> None:
    """gx[o, k, i] = the sum of g[o, j, i] over all j with index[j] = k, in order; the gradient of take."""


@kernel("bytes")
def gather_rows(y: Out, x: In, index: Index, outer: Size, m: Size, n: Size, inner: Size) -> None:
    """y[o, j, i] = x[o, index[o, j, i], i]."""


@kernel("bytes")
def scatter_rows(y: InOut, index: Index, src: In, outer: Size, m: Size, n: Size, inner: Size) -> None:
    """y[o, index[o, j, i], i] = src[o, j, i]; the last j wins."""


@kernel("wide")
def scatter_add_rows(y: InOut, index: Index, src: In, outer: Size, m: Size, n: Size, inner: Size) -> None:
    """y[o, index[o, j, i], i] += src[o, j, i], in the order of j; the gradient of gather."""


@kernel("bytes")
def nonzero_rows(mask: Mask, index: IndexOut) -> None:
    """index = the positions at which the mask holds, in order."""


# --- on arrays


def checked_index(op: str, index: Tensor, n: int, negative: bool = True) -> Array:
    """Indices along an axis of size ``n`` as dense int64 counted from the front.

    Raises
    ------
    DTypeError
        If they are not integers.
    RangeError
        If one lies outside.
    """
    if index.dtype.kind not in "iu":
        raise DTypeError(f"{op}: expected integer indices, got {index.dtype}; convert them with .long()")
    array = layout.contiguous(layout.cast(index._array, np.int64))
    if not array.size:
        return array
    axes = tuple(range(array.ndim))
    low, high = (int(to_numpy(fold(f, array, axes)).item()) for f in (Fold.MIN, Fold.MAX))
    if low < (-n if negative else 0) or high >= n:
        raise RangeError(
            f"{op}: expected indices from {-n if negative else 0} to {n - 1}, got {low if high < n else high}; check the axis's size"
        )
    if low >= 0:
        return array
    wrapped = integer_map2(IntegerBinary.ADD, array, scalar(array, n))
    return choose(ask(Question.LT, array, scalar(array, 0)), wrapped, array)


def taken_along(x: Array, index: Array, dim: int) -> Array:
    """Slices ``index`` (1-d) of ``x`` along ``dim``."""
    outer, n, inner = sizes_around(x.shape, dim)
    y = new(x, (*x.shape[:dim], index.size, *x.shape[dim + 1 :]))
    take(y, layout.contiguous(x), index, outer, n, inner)
    return y


def put_along(g: Array, index: Array, dim: int, n: int) -> Array:
    """The gradient of :func:`taken_along`: slices added up at their indices."""
    outer, _, inner = sizes_around(g.shape, dim)
    gx = new(g, (*g.shape[:dim], n, *g.shape[dim + 1 :]))
    take_sum(gx, layout.contiguous(g), index, outer, n, inner)
    return gx


def gathered(x: Array, index: Array, dim: int) -> Array:
    """``x[..., index, ...]`` along ``dim``, element by element; all other sizes are equal."""
    outer, n, inner = sizes_around(x.shape, dim)
    y = new(x, index.shape)
    gather_rows(y, layout.contiguous(x), layout.contiguous(index), outer, index.shape[dim] if index.ndim else 1, n, inner)
    return y


def scattered(g: Array, index: Array, dim: int, n: int) -> Array:
    """The gradient of :func:`gathered`: elements added up at their indices."""
    outer, m, inner = sizes_around(g.shape, dim)
    gx = filled(g, (*g.shape[:dim], n, *g.shape[dim + 1 :]) if g.ndim else (), 0.0)
    scatter_add_rows(gx, layout.contiguous(index), layout.contiguous(g), outer, m, n, inner)
    return gx


# --- functions


def index_select(input: Any, dim: int, index: Any) -> Tensor:
    """Slices ``index`` (1-d) along ``dim``.

    Raises
    ------
    ShapeError
        If the index has more than one axis.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.index_select(nx.tensor([[1, 2, 3]]), 1, nx.tensor([2, 0]))
    tensor([[3, 1]])
    """
    x, i = as_tensor(input), as_tensor(index)
    at = axis_of("index_select", dim, x.ndim)
    if i.ndim > 1:
        raise ShapeError(f"index_select: expected 1-d indices, got shape {i.shape}; flatten them, or use x[index]")
    same_device("index_select", x._array, i._array)
    n = x.shape[at] if x.ndim else 1
    where = checked_index("index_select", i, n).reshape(-1)
    shape = x.shape
    y = taken_along(x._array if x.ndim else x._array.reshape(1), where, at)

    def vjp(g: Array) -> tuple[Array]:
        return (put_along(g if shape else g.reshape(where.shape), where, at, n).reshape(shape),)

    return autograd.record("index_select", y if shape else y.reshape(()), (x,), vjp)


def gather(input: Any, dim: int, index: Any) -> Tensor:
    """``input[..., index[..., j, ...], ...]`` along ``dim``, element by element: of the index's shape.

    The index may be smaller than the input along the other axes.

    Raises
    ------
    ShapeError
        If the index has other axes, or is larger along one of the others.
    RangeError
        If an index lies outside.

    Examples
    --------
    >>> import neurenix as nx
    >>> probabilities = nx.tensor([[0.1, 0.9], [0.8, 0.2]])
    >>> labels = nx.tensor([[1], [0]])
    >>> nx.gather(probabilities, 1, labels)
    tensor([[0.9],
            [0.8]])
    """
    x, i = as_tensor(input), as_tensor(index)
    if not i._array.size and i.ndim != max(x.ndim, 1):  # nothing to take: the index may have any axes
        return _nothing_of(x, i.shape)
    at, where, part = _aligned("gather", x, dim, i)
    shape, ndim = x.shape, x.ndim
    array = x._array[part] if ndim else x._array.reshape(1)
    y = gathered(array, where, at).reshape(i.shape)

    def vjp(g: Array) -> tuple[Array]:
        small = scattered(g.reshape(where.shape), where, at, array.shape[at])
        if array.shape == shape or not ndim:
            return (small.reshape(shape),)
        whole = filled(g, shape, 0.0)
        layout.copy_into(whole[part], small)
        return (whole,)

    return autograd.record("gather", y, (x,), vjp)


def _nothing_of(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """No elements in a shape, with a gradient of zeros."""
    whole = x.shape

    def vjp(g: Array) -> tuple[Array]:
        return (filled(g, whole, 0.0),)

    return autograd.record("gather", new(x._array, shape), (x,), vjp)


def take_along_dim(input: Any, indices: Any, dim: int | None = None) -> Tensor:
    """:func:`gather` of input and indices broadcast along the other axes; of the flattened input without ``dim``.

    Raises
    ------
    ShapeError
        If they have different numbers of axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[30, 10, 20], [5, 6, 4]])
    >>> nx.take_along_dim(x, nx.argsort(x), dim=1)
    tensor([[10, 20, 30],
            [ 4,  5,  6]])
    """
    from neurenix.ops.shape import broadcast_to, ravel

    x, i = as_tensor(input), as_tensor(indices)
    if dim is None:
        return gather(ravel(x), 0, ravel(i))
    if x.ndim != i.ndim:
        raise ShapeError(f"take_along_dim: expected indices with {x.ndim} axes, got shape {i.shape}; give them the input's axes")
    at = axis_of("take_along_dim", dim, x.ndim)
    shapes = [(*t.shape[:at], 1, *t.shape[at + 1 :]) if t.ndim else () for t in (x, i)]
    common = common_shape("take_along_dim", *shapes)
    x, i = (broadcast_to(t, (*common[:at], *t.shape[at : at + 1], *common[at + 1 :])) for t in (x, i))
    return gather(x, at, i)


def _aligned(op: str, x: Tensor, dim: int, index: Tensor, source: Tensor | None = None) -> tuple[int, Array, tuple[slice, ...]]:
    """The axis, the checked index, and the part of ``x`` that it covers along the other axes."""
    at = axis_of(op, dim, x.ndim)
    same_device(op, x._array, index._array, *(() if source is None else (source._array,)))
    if max(index.ndim, 1) != max(x.ndim, 1):
        raise ShapeError(f"{op}: expected an index with {x.ndim} axes, got shape {index.shape}; give it the input's axes")
    shape = x.shape or (1,)
    sizes = index.shape or (1,)
    if any(s > n for k, (s, n) in enumerate(zip(sizes, shape, strict=True)) if k != at) and index._array.size:
        raise ShapeError(f"{op}: expected an index no larger than {x.shape} but along dim {dim}, got {index.shape}; cut it")
    where = checked_index(op, index, shape[at]).reshape(sizes)
    return at, where, tuple(slice(None) if k == at else slice(0, s) for k, s in enumerate(sizes))


def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Tensor:
    """``input`` with ``src`` added at ``index`` along ``dim``, in a fixed order; indices may repeat.

    Raises
    ------
    DTypeError
        If the types differ.
    ShapeError, RangeError
        If shapes do not fit, or an index lies outside.

    Examples
    --------
    >>> import neurenix as nx
    >>> values, labels = nx.tensor([1.0, 2.0, 3.0]), nx.tensor([0, 1, 0])
    >>> nx.scatter_add(nx.zeros(2), 0, labels, values)
    tensor([4., 2.])
    """
    x, i, s = as_tensor(input), as_tensor(index), as_tensor(src)
    if x.dtype != s.dtype:
        raise DTypeError(f"scatter_add: expected src of type {x.dtype}, got {s.dtype}; convert it with .to({x.dtype})")
    at, where, part = _aligned("scatter_add", x, dim, i, s)
    cut = tuple(slice(0, n) for n in where.shape)
    source = s._array.reshape(s.shape or (1,))
    y = layout.copy(layout.contiguous(x._array)).reshape(x.shape or (1,))
    if where.size:
        _scattered_into(y, part, where, source[cut], at)
    shapes = x.shape, s.shape

    def vjp(g: Array) -> tuple[Array, ...]:
        whole = filled(g, shapes[1] or (1,), 0.0)
        if where.size:
            layout.copy_into(whole[cut], gathered(g.reshape(shapes[0] or (1,))[part], where, at))
        return g, whole.reshape(shapes[1])

    return autograd.record("scatter_add", y.reshape(x.shape), (x, s), vjp)


def _scattered_into(y: Array, part: tuple[slice, ...], where: Array, source: Array, at: int) -> None:
    target = y[part]
    inside = layout.contiguous(target)
    outer, m, inner = sizes_around(where.shape, at)
    wide = inside.dtype.kind == "f" or inside.dtype == np.int64
    total = inside if wide else layout.cast(inside, np.int64)
    more = layout.contiguous(source if wide else layout.cast(source, np.int64))
    scatter_add_rows(total, where, more, outer, m, inside.shape[at], inner)
    if total is not target:
        layout.copy_into(target, layout.cast(total, y.dtype))


def _put_into(y: Array, part: tuple[slice, ...], where: Array, source: Array, at: int) -> None:
    target = y[part]
    inside = layout.contiguous(target)
    outer, m, inner = sizes_around(where.shape, at)
    scatter_rows(inside, where, layout.contiguous(source), outer, m, inside.shape[at], inner)
    if inside is not target:
        layout.copy_into(target, inside)


def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Tensor:
    """``input`` with elements of ``src``, a tensor or a number (also ``value``), put at ``index`` along ``dim``; the last of equals wins.

    With ``reduce="add"`` or ``"multiply"`` they are added to or multiplied with what is there.

    Raises
    ------
    ArgumentError
        For another ``reduce``.
    DTypeError
        If the types differ.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.scatter(nx.zeros(2, 3), 1, nx.tensor([[2], [0]]), 1.0)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    x, i = as_tensor(input), as_tensor(index)
    s = as_tensor(value if src is None else src, x)
    if x.dtype != s.dtype:
        raise DTypeError(f"scatter: expected src of type {x.dtype}, got {s.dtype}; convert it with .to({x.dtype})")
    if reduce not in (None, "add", "multiply"):
        raise ArgumentError(f'scatter: expected reduce "add" or "multiply", got {reduce!r}; use scatter_reduce')
    if s.ndim == 0 and i.ndim > 0:
        from neurenix.ops.shape import broadcast_to

        s = broadcast_to(s, i.shape)
    if reduce is not None:
        from neurenix.ops.replace import scatter_reduce

        return scatter_reduce(x, dim, i, s, "sum" if reduce == "add" else "prod")
    return put_at("scatter", x, dim, i, s)


def put_at(name: str, x: Tensor, dim: int, index: Tensor, s: Tensor) -> Tensor:
    """``x`` with ``s`` at ``index``; of equal indices each takes the gradient of its place, as in PyTorch."""
    at, where, part = _aligned(name, x, dim, index, s)
    source = s._array.reshape(s.shape or (1,))
    cut = tuple(slice(0, n) for n in where.shape)
    y = layout.copy(layout.contiguous(x._array)).reshape(x.shape or (1,))
    _put_into(y, part, where, source[cut], at)
    shapes, needs = (x.shape, s.shape), (x.requires_grad, s.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        gs = None
        if needs[1]:
            gs = filled(g, shapes[1] or (1,), 0.0)
            layout.copy_into(gs[cut], gathered(g.reshape(shapes[0] or (1,))[part], where, at))
            gs = gs.reshape(shapes[1])
        gx = layout.copy(layout.contiguous(g)).reshape(shapes[0] or (1,))
        _put_into(gx, part, where, filled(g, where.shape, 0.0), at)
        return gx.reshape(shapes[0]), gs

    return autograd.record(name, y.reshape(x.shape), (x, s), vjp)
