"""Parts put together and taken apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix import autograd, backend, layout, window
from neurenix._typing import Array
from neurenix.errors import ArgumentError, RangeError, ShapeError
from neurenix.ops._arguments import integer
from neurenix.ops._named import named
from neurenix.ops.arithmetic import common_dtype
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import filled
from neurenix.ops.reduce import axis_of
from neurenix.ops.shape import unsqueeze, viewed
from neurenix.tensor import Tensor, as_tensor
from neurenix.window_rules import HERE, Cropped, Rules, at_place

_FAR = 2**48  # counted from either end


def _joined(arrays: Sequence[Array], dim: int) -> Array:
    """The arrays one after the other along ``dim``; channels-last maps and volumes give one."""
    first = arrays[0]
    shape = list(first.shape)
    shape[dim] = sum(a.shape[dim] for a in arrays)
    last = (0, *range(2, first.ndim), 1)
    if first.ndim in (4, 5) and all(a.transpose(last).flags.c_contiguous for a in arrays) and not first.flags.c_contiguous:
        n, c, *pixels = shape
        y = backend.new(first, (n, *pixels, c)).transpose(0, first.ndim - 1, *range(1, first.ndim - 1))
    else:
        y = backend.new(first, tuple(shape))
    at = 0
    for a in arrays:
        layout.copy_into(_span(y, dim, at, a.shape[dim]), a)
        at += a.shape[dim]
    return y


def _span(x: Array, dim: int, start: int, length: int, step: int = 1) -> Array:
    key = (slice(None),) * dim + (slice(start, start + length * step, step),)
    return x[key]


def cat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """The tensors one after the other along ``dim``; an empty 1-d tensor fits anywhere.

    Maps and volumes that lie channels-last in memory give one that does.

    Raises
    ------
    ShapeError
        If other sizes differ.
    ArgumentError
        If there are no tensors.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.cat([nx.ones(1, 2), nx.zeros(1, 2)], dim=0)
    tensor([[1., 1.],
            [0., 0.]])
    """
    given = list(window.aligned("cat", [as_tensor(t) for t in tensors]))
    if not given:
        raise ArgumentError("cat: expected at least one tensor, got none; check the list")
    dtype = given[0].dtype
    for other in given[1:]:
        if other.dtype != dtype:
            dtype = common_dtype("cat", Tensor._wrap(np.empty(0, dtype)), Tensor._wrap(np.empty(0, other.dtype)))
    inputs = tuple(cast(t, dtype) for t in given)
    backend.same_device("cat", *(t._array for t in inputs))
    parts = [t for t in inputs if t.shape != (0,)] or list(inputs[:1])
    at = axis_of("cat", dim, parts[0].ndim)
    rest = [(*t.shape[:at], *t.shape[at + 1 :]) for t in parts]
    if any(r != rest[0] or not t.ndim for r, t in zip(rest, parts, strict=True)):
        raise ShapeError(
            f"cat: expected equal sizes but along dim {dim}, got {' and '.join(str(t.shape) for t in inputs)}; pad, crop or resize them"
        )
    sizes = [None if t.shape == (0,) and parts[0].ndim != 1 else t.shape[at] for t in inputs]

    def vjp(g: Array) -> list[Array]:
        found, start = [], 0
        for n in sizes:
            found.append(filled(g, (0,), 0.0) if n is None else _span(g, at, start, n))
            start += n or 0
        return found

    return autograd.record("cat", _joined([t._array for t in parts], at), inputs, vjp, at_place if at < parts[0].ndim - 2 else None)


concat = named("concat", cat)
concatenate = named("concatenate", cat)


def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """The tensors, all of one shape, along a new axis ``dim``.

    Raises
    ------
    ShapeError
        If shapes differ.
    ArgumentError
        If there are no tensors.

    Examples
    --------
    >>> import neurenix as nx
    >>> images = [nx.zeros(3, 8, 8), nx.ones(3, 8, 8)]
    >>> nx.stack(images).shape
    (2, 3, 8, 8)
    """
    inputs = [as_tensor(t) for t in tensors]
    if len({t.shape for t in inputs}) > 1:
        raise ShapeError(
            f"stack: expected tensors of one shape, got {' and '.join(str(t.shape) for t in inputs)}; pad, crop or resize them"
        )
    if not inputs:
        raise ArgumentError("stack: expected at least one tensor, got none; check the list")
    at = axis_of("stack", dim, inputs[0].ndim + 1)
    return cat([unsqueeze(t, at) for t in inputs], at)


def _pieces(name: str, x: Tensor, dim: int, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """Views of ``x`` one after the other along ``dim``; their gradients are put together at once."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    shape = x.shape
    views = [_span(x._array, dim, start, n) for start, n in zip(starts, sizes, strict=True)]
    if not views:
        return ()

    def vjp(gradients: Sequence[Array | None]) -> tuple[Array]:
        some = next(g for g in gradients if g is not None)
        parts = [filled(some, (*shape[:dim], n, *shape[dim + 1 :]), 0.0) if g is None else g for g, n in zip(gradients, sizes, strict=True)]
        return (_joined(parts, dim),)

    outputs = autograd.record_many(name, views, (x,), vjp)
    if x._logits is not None and (x._logits[0] == "sigmoid" or x._logits[2] != dim):
        for y, z in zip(outputs, _pieces(name, x._logits[1], dim, sizes), strict=True):
            y._logits = (x._logits[0], z, x._logits[2])
    return outputs


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of one size along ``dim`` (the last may be smaller) for a number, of the listed sizes for a list; views.

    Raises
    ------
    ArgumentError
        If a size is below 1 or the listed ones do not sum to the axis.

    Examples
    --------
    >>> import neurenix as nx
    >>> parts = nx.split(nx.arange(7), 3)
    >>> [part.shape[0] for part in parts], [part.shape[0] for part in nx.split(nx.arange(7), [1, 6])]
    ([3, 3, 1], [1, 6])
    """
    x = as_tensor(tensor)
    at = axis_of("split", dim, x.ndim)
    whole = x.shape[at]
    if isinstance(split_size_or_sections, (tuple, list)):
        sizes = [integer("split", "each size", n, 0) for n in split_size_or_sections]
        if sum(sizes) != whole:
            raise ArgumentError(f"split: expected sizes of at least 0 that sum to {whole}, got {sizes}; change one of them")
    else:
        size = integer("split", "split_size_or_sections", split_size_or_sections, 0)
        if size < 1 and whole:
            raise ArgumentError(f"split: expected a size of at least 1, got {size}; pass e.g. {max(whole // 2, 1)}")
        sizes = [min(size, whole - start) for start in range(0, whole, max(size, 1))] or [0]
    return _pieces("split", x, at, sizes)


def split_with_sizes(input: Any, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Parts of the sizes listed, along ``dim``, views; errors as in :func:`split`.

    Examples
    --------
    >>> import neurenix as nx
    >>> head, tail = nx.split_with_sizes(nx.arange(5), [2, 3])
    >>> tail
    tensor([2, 3, 4])
    """
    return split(input, list(split_sizes), dim)


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` parts of one size along ``dim``, views; the last may be smaller. An :class:`ArgumentError` below 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> [part.shape for part in nx.chunk(nx.zeros(2, 8), 3, dim=1)]
    [(2, 3), (2, 3), (2, 2)]
    """
    x = as_tensor(input)
    if chunks < 1:
        raise ArgumentError(f"chunk: expected at least 1 chunk, got {chunks}; pass a positive number")
    at = axis_of("chunk", dim, x.ndim)
    size = math.ceil(x.shape[at] / chunks)
    return split(x, [0] * chunks, at) if size == 0 else split(x, size, at)


def unbind(input: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along ``dim``, without that axis, views; a :class:`ShapeError` for a 0-d tensor.

    Examples
    --------
    >>> import neurenix as nx
    >>> red, green, blue = nx.unbind(nx.zeros(3, 4, 5))
    >>> red.shape
    (4, 5)
    """
    x = as_tensor(input)
    at = axis_of("unbind", dim, x.ndim)
    if not x.ndim:
        raise ShapeError("unbind: expected a tensor with axes, got a 0-d tensor; use the tensor itself")
    return tuple(_without(part, at) for part in _pieces("unbind", x, at, [1] * x.shape[at]))


def _without(x: Tensor, dim: int) -> Tensor:
    shape = x.shape
    key = (slice(None),) * dim + (0,)
    return viewed("select", x, lambda a: _view(a, key), lambda g: g.reshape(shape), lambda d: None if d == dim else d - (d > dim))


def narrow(input: Any, dim: int, start: int, length: int) -> Tensor:
    """``length`` elements along ``dim`` from ``start`` on, a view.

    Raises
    ------
    RangeError
        If they do not lie inside.
    ShapeError
        For a 0-d tensor.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.narrow(nx.arange(10), 0, 2, 3)
    tensor([2, 3, 4])
    """
    x = as_tensor(input)
    at = axis_of("narrow", dim, x.ndim)
    if not x.ndim:
        raise ShapeError("narrow: expected a tensor with axes, got a 0-d tensor; reshape it to (1,)")
    start, length = integer("narrow", "start", start, -_FAR), integer("narrow", "length", length, -_FAR)
    first = start + (x.shape[at] if start < 0 else 0)
    if first < 0 or length < 0 or first + length > x.shape[at]:
        raise RangeError(f"narrow: expected a part of 0 to {x.shape[at]}, got start {start} and length {length}; shorten it")
    return taken("narrow", x, (slice(None),) * at + (slice(first, first + length),))


def select(input: Any, dim: int, index: int) -> Tensor:
    """Slice ``index`` along ``dim``, without that axis, a view; -1 is the last.

    Raises
    ------
    RangeError
        If there is no such slice.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.select(nx.tensor([[1, 2], [3, 4]]), 1, -1)
    tensor([2, 4])
    """
    x = as_tensor(input)
    at, index = axis_of("select", dim, x.ndim), integer("select", "index", index, -_FAR)
    if not x.ndim or not -x.shape[at] <= index < x.shape[at]:
        raise RangeError(
            f"select: expected an index from {-x.shape[at] if x.ndim else 0} to {x.shape[at] - 1 if x.ndim else 0}, got {index}; check dim"
        )
    return taken("select", x, (slice(None),) * at + (index,))


def taken(name: str, x: Tensor, key: tuple[Any, ...]) -> Tensor:
    """``x[key]`` for a key of integers, slices, ``None`` and an ellipsis, a view."""
    shape = x.shape

    def back(g: Array) -> Array:
        whole = filled(g, shape, 0.0)
        layout.copy_into(_view(whole, key), g)
        return whole

    return viewed(name, x, lambda a: _view(a, key), back, lambda d: _axis_after(key, len(shape), shape, d), lambda: _local(key, shape))


def _local(key: tuple[Any, ...], shape: tuple[int, ...]) -> Rules | None:
    """Where the pixels of ``x[key]`` come from, if the key leaves the last two axes from their beginning."""
    taken = _every_axis(key, len(shape))[-2:]
    if len(shape) < 2 or not all(isinstance(k, slice) for k in taken):
        return None
    spans = [k.indices(n) for k, n in zip(taken, shape[-2:], strict=True)]
    if any((start, step) != (0, 1) for start, _, step in spans):
        return None
    rows, columns = (HERE if stop == n else Cropped(n, n - stop) for (_, stop, _), n in zip(spans, shape[-2:], strict=True))
    return rows, columns


def _view(x: Array, key: tuple[Any, ...]) -> Array:
    y = x[key]
    return y if backend.is_array(y) else x[(*key, ...)]


def _every_axis(key: tuple[Any, ...], ndim: int) -> list[Any]:
    """The key with a slice for every axis that it leaves out."""
    used = sum(k is not None and k is not Ellipsis for k in key)
    full: list[Any] = []
    for k in key if any(k is Ellipsis for k in key) else (*key, Ellipsis):
        full.extend([slice(None)] * (ndim - used) if k is Ellipsis else [k])
    return full


def _axis_after(key: tuple[Any, ...], ndim: int, shape: tuple[int, ...], dim: int) -> int | None:
    """Where axis ``dim`` is after ``x[key]``; ``None`` where it is not whole."""
    axis = place = 0
    for k in _every_axis(key, ndim):
        if k is None:
            place += 1
            continue
        if axis == dim:
            return place if isinstance(k, slice) and k.indices(shape[dim]) == (0, shape[dim], 1) else None
        place += isinstance(k, slice)
        axis += 1
    return None
