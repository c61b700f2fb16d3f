"""Views: other shapes and orders of the same elements.

A view shares memory with its input where it can. Views of a sigmoid's or softmax's output carry its logits on.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neurenix import autograd, layout
from neurenix._typing import Array
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.ops._named import named
from neurenix.ops.reduce import axes_of, axis_of, sum_to
from neurenix.tensor import Tensor, as_tensor
from neurenix.window_rules import Local

View = Callable[[Array], Array]


def viewed(name: str, x: Tensor, there: View, back: View, axis: Callable[[int], int | None], local: Local | None = None) -> Tensor:
    """``there(x)`` with gradient ``back(g)``; ``axis`` says where an axis has gone, or that it is no more whole."""

    def vjp(g: Array) -> tuple[Array]:
        return (back(g),)

    y = autograd.record(name, there(x._array), (x,), vjp, local)
    if x._logits is not None:
        kind, z, dim = x._logits
        place = axis(dim) if kind == "softmax" else 0
        if place is not None:
            y._logits = (kind, viewed(name, z, there, back, axis), place)
    return y


# --- another shape


def reshaped(x: Array, shape: tuple[int, ...]) -> Array:
    """``x`` in its logical order with another shape: a view where memory allows, else a copy."""
    if x.flags.c_contiguous or _is_viewable(x.shape, x.strides, shape):
        return x.reshape(shape)
    return layout.contiguous(x).reshape(shape)


def _is_viewable(shape: tuple[int, ...], strides: tuple[int, ...], new: tuple[int, ...]) -> bool:
    """Whether every new axis lies within a run of old axes that follow each other in memory."""
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    sizes = [n for n in new if n != 1]
    at = 0
    i = 0
    while i < len(old):
        run, wanted = old[i][0], 1
        first = i
        while True:
            while at < len(sizes) and wanted < run:
                wanted *= sizes[at]
                at += 1
            if wanted == run:
                break
            i += 1
            if i >= len(old):
                return False
            run *= old[i][0]
        if builtins.any(old[k][1] != old[k + 1][0] * old[k + 1][1] for k in range(first, i)):
            return False
        i += 1
    return True


def _sizes(name: str, shape: Sequence[Any], count: int, what: str) -> tuple[int, ...]:
    """The shape with its -1 worked out."""
    sizes = [_integer(name, n) for n in shape]
    if sizes.count(-1) > 1 or builtins.any(n < -1 for n in sizes):
        raise ShapeError(f"{name}: expected sizes of at least 0 and at most one -1, got {tuple(sizes)}; give the others")
    known = int(np.prod([n for n in sizes if n != -1], dtype=np.int64))
    if -1 in sizes and known > 0 and count % known == 0:
        sizes[sizes.index(-1)] = count // known
    elif -1 in sizes and known == 0:
        raise ShapeError(f"{name}: expected sizes that decide the -1, got {tuple(sizes)}; give it, for another size is 0")
    if -1 in sizes or int(np.prod(sizes, dtype=np.int64)) != count:
        raise ShapeError(f"{name}: expected {count} elements as in {what}, got {tuple(shape)}; choose sizes with that product")
    return tuple(sizes)


def _integer(name: str, value: Any) -> int:
    if isinstance(value, Tensor) and value.dtype.kind in "iu":
        return int(value)
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise DTypeError(f"{name}: expected integers, got {value!r}; pass e.g. int({value!r})")
    return int(value)


def given(args: tuple[Any, ...], named: Any = None) -> tuple[Any, ...]:
    """Numbers given one by one, as one sequence, or by name."""
    if named is not None:
        return tuple(named) if isinstance(named, (tuple, list)) else (named,)
    return tuple(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else args


def reshape(input: Any, *args: Any, shape: Any = None) -> Tensor:
    """The elements in logical order with another shape; one size may be -1.

    A view where memory allows, else a copy: a channels-last map is reshaped as (N, C, H, W), whatever its memory.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.reshape(nx.arange(6), (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    x = as_tensor(input)
    return _reshaped("reshape", x, _sizes("reshape", given(args, shape), x._array.size, f"shape {x.shape}"))


def _reshaped(name: str, x: Tensor, new: tuple[int, ...]) -> Tensor:
    old = x.shape

    def axis(dim: int) -> int | None:
        before = int(np.prod(old[:dim], dtype=np.int64))
        places = [i for i, n in enumerate(new) if n == old[dim] and int(np.prod(new[:i], dtype=np.int64)) == before]
        return places[0] if places else None

    return viewed(name, x, lambda a: reshaped(a, new), lambda g: reshaped(g, old), axis)


def view(input: Any, *args: Any, size: Any = None) -> Tensor:
    """:func:`reshape` under PyTorch's other name: a copy where memory does not allow a view.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.view(nx.arange(6), 3, -1).shape
    (3, 2)
    """
    x = as_tensor(input)
    return _reshaped("view", x, _sizes("view", given(args, size), x._array.size, f"shape {x.shape}"))


def view_as(input: Any, other: Any) -> Tensor:
    """The elements with ``other``'s shape, see :func:`reshape`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.view_as(nx.arange(6), nx.zeros(2, 3))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    return reshape(input, as_tensor(other).shape)


reshape_as = named("reshape_as", view_as)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes ``start_dim`` to ``end_dim`` joined into one, in logical order.

    Raises
    ------
    ShapeError
        If the last is before the first.

    Examples
    --------
    >>> import neurenix as nx
    >>> features = nx.zeros(8, 16, 4, 4)
    >>> nx.flatten(features, 1).shape
    (8, 256)
    """
    x = as_tensor(input)
    first, last = axis_of("flatten", start_dim, x.ndim), axis_of("flatten", end_dim, x.ndim)
    if last < first:
        raise ShapeError(f"flatten: expected start_dim before end_dim, got {start_dim} and {end_dim}; swap them")
    joined = int(np.prod(x.shape[first : last + 1], dtype=np.int64))
    return _reshaped("flatten", x, (*x.shape[:first], joined, *x.shape[last + 1 :]))


def ravel(input: Any) -> Tensor:
    """All elements along one axis, in logical order: a view where memory allows.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.ravel(nx.tensor([[1, 2], [3, 4]]))
    tensor([1, 2, 3, 4])
    """
    return flatten(input)


def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Tensor:
    """Axis ``dim`` split into axes of ``sizes``, one of which may be -1; a :class:`ShapeError` if their product is another.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.unflatten(nx.zeros(2, 12, 5), 1, (3, -1)).shape
    (2, 3, 4, 5)
    """
    x = as_tensor(input)
    at = axis_of("unflatten", dim, x.ndim)
    parts = _sizes("unflatten", tuple(sizes), x.shape[at], f"axis {dim} of {x.shape}")
    return _reshaped("unflatten", x, (*x.shape[:at], *parts, *x.shape[at + 1 :]))


def squeeze(input: Any, dim: Any = None) -> Tensor:
    """Without the axes of size 1, or without those of them that ``dim``, a number or several, names.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.zeros(1, 3, 1, 5)
    >>> nx.squeeze(x).shape, nx.squeeze(x, 0).shape, nx.squeeze(x, 1).shape
    ((3, 5), (3, 1, 5), (1, 3, 1, 5))
    """
    x = as_tensor(input)
    named = range(x.ndim) if dim is None else axes_of("squeeze", dim, x.ndim) if dim not in ((), []) else ()
    return _reshaped("squeeze", x, tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in named))


def unsqueeze(input: Any, dim: int) -> Tensor:
    """With an axis of size 1 put in at ``dim``, which may count from the end.

    Examples
    --------
    >>> import neurenix as nx
    >>> image = nx.zeros(3, 8, 8)
    >>> nx.unsqueeze(image, 0).shape, nx.unsqueeze(image, -1).shape
    ((1, 3, 8, 8), (3, 8, 8, 1))
    """
    x = as_tensor(input)
    at = axis_of("unsqueeze", dim, x.ndim + 1)
    return _reshaped("unsqueeze", x, (*x.shape[:at], 1, *x.shape[at:]))


# --- another order


def permute(input: Any, *args: Any, dims: Any = None) -> Tensor:
    """The axes in another order, one by one or as ``dims``, a view.

    Raises
    ------
    ArgumentError
        If not every axis is named once.

    Examples
    --------
    >>> import neurenix as nx
    >>> image = nx.zeros(480, 640, 3)  # H, W, C
    >>> nx.permute(image, 2, 0, 1).shape
    (3, 480, 640)
    """
    x = as_tensor(input)
    named = given(args, dims)
    order = tuple(axis_of("permute", d, x.ndim) for d in named)
    if sorted(order) != list(range(x.ndim)):
        raise ArgumentError(f"permute: expected each of {x.ndim} axes once, got {tuple(named)}; name them all")
    return _permuted("permute", x, order)


def _permuted(name: str, x: Tensor, order: tuple[int, ...]) -> Tensor:
    back = tuple(order.index(i) for i in range(len(order)))
    return viewed(name, x, lambda a: a.transpose(order), lambda g: g.transpose(back), order.index)


def transpose(input: Any, dim0: int, dim1: int) -> Tensor:
    """Axes ``dim0`` and ``dim1`` exchanged, a view.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.transpose(nx.zeros(2, 3, 4), 1, -1).shape
    (2, 4, 3)
    """
    x = as_tensor(input)
    a, b = axis_of("transpose", dim0, x.ndim), axis_of("transpose", dim1, x.ndim)
    order = list(range(x.ndim))
    if x.ndim:
        order[a], order[b] = b, a
    return _permuted("transpose", x, tuple(order))


swapaxes = named("swapaxes", transpose)
swapdims = named("swapdims", transpose)


def t(input: Any) -> Tensor:
    """A matrix (m, n) transposed, a view of shape (n, m); fewer axes stay as they are, more are a :class:`ShapeError`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.t(nx.tensor([[1, 2, 3]]))
    tensor([[1],
            [2],
            [3]])
    """
    x = as_tensor(input)
    if x.ndim > 2:
        raise ShapeError(f"t: expected at most 2 axes, got shape {x.shape}; use transpose or permute")
    return _permuted("t", x, tuple(reversed(range(x.ndim))))


def movedim(input: Any, source: Any, destination: Any) -> Tensor:
    """Axes ``source`` moved to places ``destination``; the others keep their order.

    Raises
    ------
    ArgumentError
        If they are not equally many, or an axis is named twice.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.movedim(nx.zeros(2, 3, 4, 5), 1, -1).shape
    (2, 4, 5, 3)
    """
    x = as_tensor(input)
    sources = [axis_of("movedim", d, x.ndim) for d in (source if isinstance(source, (tuple, list)) else (source,))]
    places = [axis_of("movedim", d, x.ndim) for d in (destination if isinstance(destination, (tuple, list)) else (destination,))]
    if len(sources) != len(places) or len(set(sources)) != len(sources) or len(set(places)) != len(places):
        raise ArgumentError(f"movedim: expected as many different sources as destinations, got {source} and {destination}; name each once")
    rest = iter(i for i in range(x.ndim) if i not in sources)
    order = tuple(sources[places.index(i)] if i in places else next(rest) for i in range(x.ndim))
    return _permuted("movedim", x, order)


moveaxis = named("moveaxis", movedim)


# --- repeated without a copy


def broadcast_to(input: Any, *args: Any, size: Any = None) -> Tensor:
    """Axes of size 1 repeated, and new ones put in front, as a view; -1 keeps a size.

    Raises
    ------
    ShapeError
        If another size than 1 would change.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.broadcast_to(nx.tensor([[1], [2]]), 2, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    >>> nx.expand(nx.zeros(3, 1), 4, -1, 5).shape
    (4, 3, 5)
    """
    x = as_tensor(input)
    sizes = [_integer("expand", n) for n in given(args, size)]
    lead = len(sizes) - x.ndim
    new = [x.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(sizes)]
    if lead < 0 or builtins.any(n < 0 for n in new) or builtins.any(have not in (1, new[i + lead]) for i, have in enumerate(x.shape)):
        raise ShapeError(f"expand: expected sizes that {x.shape} broadcasts to, got {tuple(sizes)}; only sizes of 1 can change")
    target, old = tuple(new), x.shape
    if target == old:
        return viewed("expand", x, lambda a: a[...], lambda g: g, lambda d: d)
    return viewed("expand", x, lambda a: np.broadcast_to(a, target), lambda g: sum_to(g, old), lambda d: d + lead)


expand = named("expand", broadcast_to)


def expand_as(input: Any, other: Any) -> Tensor:
    """``input`` expanded to ``other``'s shape, a view; see :func:`broadcast_to`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.expand_as(nx.tensor([1, 2]), nx.zeros(2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    return broadcast_to(input, as_tensor(other).shape)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All expanded to their common shape, as views; a :class:`ShapeError` if there is none.

    Examples
    --------
    >>> import neurenix as nx
    >>> rows, columns = nx.broadcast_tensors(nx.zeros(3, 1), nx.zeros(4))
    >>> rows.shape, columns.shape
    ((3, 4), (3, 4))
    """
    from neurenix.ops.elementwise import common_shape

    inputs = [as_tensor(t) for t in tensors]
    shape = common_shape("broadcast_tensors", *(t.shape for t in inputs))
    return tuple(broadcast_to(t, shape) for t in inputs)
