"""Shapes, parts, copies and indices; all of them linear."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np
from properties.draws import Draw, Shape
from properties.table import Example, constant, function, row

import neurenix as nx
from neurenix.nn import functional as F

LINEAR: dict[str, Any] = {"linear": (0,), "empty": True}


def factors(d: Draw, n: int) -> tuple[int, ...]:
    """Some way to write ``n`` as a product."""
    found = []
    while n > 1 and d.flag():
        a = d.pick(*(k for k in range(1, n + 1) if n % k == 0))
        found.append(a)
        n //= a
    return tuple(d.order(len([*found, n]))) and (*found, n)


def reshaped(name: str, d: Draw) -> Example:
    shape = d.shape()
    new = shape if d.empty else factors(d, prod(shape))
    return (lambda x: function(name)(x, new)), d.numbers(*shape)


def permuted(d: Draw) -> Example:
    shape = d.shape()
    order = d.order(len(shape))
    return (lambda x: nx.permute(x, order)), d.numbers(*shape)


def two_axes(name: str, d: Draw) -> Example:
    shape = d.shape(least=1)
    a, b = d.dim(len(shape)), d.dim(len(shape))
    return (lambda x: function(name)(x, a, b)), d.numbers(*shape)


def one_axis(name: str, d: Draw, *more: Any, least: int = 1) -> Example:
    shape = d.shape(least=least)
    dim = d.dim(len(shape))
    return (lambda x: function(name)(x, *more, dim)), d.numbers(*shape)


def flattened(d: Draw) -> Example:
    shape = d.shape(least=1)
    first = d.int(0, len(shape) - 1)
    return (lambda x: nx.flatten(x, first, d_end)) if (d_end := d.int(first, len(shape) - 1)) else nx.flatten, d.numbers(*shape)


def unflattened(d: Draw) -> Example:
    shape = d.shape(least=1)
    dim = d.int(0, len(shape) - 1)
    sizes = factors(d, shape[dim]) if shape[dim] else (0, 2)
    return (lambda x: nx.unflatten(x, dim, sizes)), d.numbers(*shape)


def expanded(name: str, d: Draw) -> Example:
    shape = d.shape()
    if name == "expand_as":
        return (lambda x: nx.expand_as(x, nx.zeros(shape))), d.numbers(*d.narrower(shape))
    return (lambda x: function(name)(x, shape)), d.numbers(*d.narrower(shape))


def together(d: Draw) -> Example:
    shape = d.shape()
    return nx.broadcast_tensors, d.numbers(*shape), d.numbers(*d.narrower(shape))


def plain(name: str, d: Draw, least: int = 0, most: int = 4) -> Example:
    return function(name), d.numbers(*d.shape(least=least, most=most))


def squeezed(d: Draw) -> Example:
    shape = d.shape(least=1)
    return partial(nx.squeeze, dim=d.dim(len(shape))) if d.flag() else nx.squeeze, d.numbers(*shape)


def unsqueezed(d: Draw) -> Example:
    shape = d.shape()
    dim = d.int(-len(shape) - 1, len(shape))
    return (lambda x: nx.unsqueeze(x, dim)), d.numbers(*shape)


for _name in ("reshape", "view"):
    row(_name, partial(reshaped, _name), **LINEAR)
row("reshape_as", lambda d: (lambda x: nx.reshape_as(x, nx.zeros(6)), d.numbers(2, 3)), linear=(0,))
row("view_as", lambda d: (lambda x: nx.view_as(x, nx.zeros(6)), d.numbers(2, 3)), linear=(0,))
row("permute", permuted, **LINEAR)
for _name in ("transpose", "swapaxes", "movedim"):
    row(_name, partial(two_axes, _name), **LINEAR)
row("t", partial(plain, "t", most=2), **LINEAR)
row("flatten", flattened, **LINEAR)
row("ravel", partial(plain, "ravel"), **LINEAR)
row("unflatten", unflattened, **LINEAR)
row("squeeze", squeezed, **LINEAR)
row("unsqueeze", unsqueezed, **LINEAR)
for _name in ("broadcast_to", "expand", "expand_as"):
    row(_name, partial(expanded, _name), **LINEAR)
row("broadcast_tensors", together, empty=True)
row("contiguous", partial(plain, "contiguous"), **LINEAR)
row("clone", partial(plain, "clone"), **LINEAR)


# parts


def joined(name: str, d: Draw) -> Example:
    shape = d.shape(least=1)
    dim = d.dim(len(shape))
    other = list(shape)
    if name == "cat":
        other[dim] = d.int(0, 3)
    return (lambda x, y: function(name)([x, y, x], dim)), d.numbers(*shape), d.numbers(*other)


def stacked(name: str, d: Draw) -> Example:
    shape = d.shape(least=1)
    return (lambda x, y: function(name)([x, y])), d.numbers(*shape), d.numbers(*shape)


row("cat", partial(joined, "cat"), linear=(0, 1), empty=True)
row("stack", partial(joined, "stack"), linear=(0, 1), empty=True)
for _name in ("hstack", "vstack", "dstack"):
    row(_name, partial(stacked, _name), linear=(0, 1), empty=True)
row("split", lambda d: one_axis("split", d, d.int(1, 4)), empty=True)
row("chunk", lambda d: one_axis("chunk", d, d.int(1, 4)), empty=True)
row("unbind", partial(one_axis, "unbind"))


def cut(d: Draw) -> tuple[Shape, int, list[int]]:
    shape = d.shape(least=1)
    dim = d.dim(len(shape))
    first = d.int(0, shape[dim])
    return shape, dim, [first, shape[dim] - first]


def cut_up(d: Draw) -> Example:
    shape, dim, sizes = cut(d)
    return (lambda x: nx.split_with_sizes(x, sizes, dim)), d.numbers(*shape)


def narrowed(d: Draw) -> Example:
    shape, dim, (start, length) = cut(d)
    return (lambda x: nx.narrow(x, dim, start, length)), d.numbers(*shape)


def selected(d: Draw) -> Example:
    shape = d.shape(least=1)
    dim = d.dim(len(shape))
    index = d.int(-shape[dim], shape[dim] - 1)
    return (lambda x: nx.select(x, dim, index)), d.numbers(*shape)


row("split_with_sizes", cut_up, empty=True)
row("narrow", narrowed, **LINEAR)
row("select", selected, linear=(0,))

# copies and turns


def turned(name: str, d: Draw) -> Example:
    shape = d.shape(least=1)
    if name == "flip":
        dims = d.dims(len(shape))
        return (lambda x: nx.flip(x, dims)), d.numbers(*shape)
    dim = d.dim(len(shape))
    shift = d.int(-5, 5)
    return (lambda x: nx.roll(x, shift, dim)), d.numbers(*shape)


row("flip", partial(turned, "flip"), **LINEAR)
row("roll", partial(turned, "roll"), **LINEAR)
row("fliplr", partial(plain, "fliplr", least=2), **LINEAR)
row("flipud", partial(plain, "flipud", least=1), **LINEAR)
row("rot90", lambda d: (partial(nx.rot90, k=d.int(-3, 5), dims=d.pick((0, 1), (2, 0))), d.numbers(*d.map(1))), linear=(0,))


def repeated(name: str, d: Draw) -> Example:
    shape = d.shape(least=1, most=3)
    times = tuple(d.int(1, 3) for _ in range(len(shape) + d.int(0, 1)))
    return (lambda x: function(name)(x, times)), d.numbers(*shape)


row("repeat", partial(repeated, "repeat"), **LINEAR)
row("tile", partial(repeated, "tile"), **LINEAR)
row("repeat_interleave", lambda d: one_axis("repeat_interleave", d, d.int(1, 3)), **LINEAR)


def triangle(name: str, d: Draw) -> Example:
    return partial(function(name), diagonal=d.int(-3, 3)), d.numbers(*d.shape(least=2))


row("tril", partial(triangle, "tril"), **LINEAR)
row("triu", partial(triangle, "triu"), **LINEAR)
row("diagonal", lambda d: (partial(nx.diagonal, offset=d.int(-1, 1), dim1=-1, dim2=0), d.numbers(*d.shape(least=2))), linear=(0,))
row("diag", lambda d: (partial(nx.diag, diagonal=d.int(-1, 1)), d.numbers(*d.shape(least=1, most=2))), linear=(0,))
row("diag_embed", lambda d: (partial(nx.diag_embed, offset=d.int(-1, 1)), d.numbers(*d.shape(least=1, most=3))), linear=(0,))
row("meshgrid", lambda d: (partial(nx.meshgrid, indexing=d.pick("ij", "xy")), d.numbers(d.int(1, 4)), d.numbers(d.int(1, 4))))

# indices


def taken(d: Draw) -> Example:
    shape = d.shape(least=1)
    index = d.index(prod(shape), d.int(1, 6))
    return (lambda x: nx.take(x, constant(index, x))), d.numbers(*shape)


def picked(d: Draw) -> Example:
    shape = d.shape(least=1)
    dim = d.dim(len(shape))
    return (lambda x, i: nx.index_select(x, dim, i)), d.numbers(*shape), d.index(shape[dim], d.int(1, 6))


def gathered(name: str, d: Draw) -> Example:
    shape = d.shape(least=1)
    dim = d.dim(len(shape))
    smaller = list(shape) if name == "take_along_dim" else [d.int(1, s) for s in shape]
    smaller[dim] = d.int(1, 5)
    index = d.index(shape[dim], *smaller)
    if name == "gather":
        return (lambda x, i: nx.gather(x, dim, i)), d.numbers(*shape), index
    return (lambda x, i: nx.take_along_dim(x, i, dim)), d.numbers(*shape), index


def scattered(name: str, d: Draw) -> Example:
    shape = d.shape(least=1)
    dim = d.dim(len(shape))
    sizes = [d.int(1, s) for s in shape]
    index = d.index(shape[dim], *sizes)
    if name == "scatter":  # each place once: which of several values stays is another question
        order = np.argsort(d.numbers(*shape), axis=dim, kind="stable")
        index = order[tuple(slice(0, s) for s in sizes)]
    source = d.numbers(*sizes)
    if name == "scatter":  # its values are constants
        return (lambda x, i: nx.scatter(x, dim, i, constant(source, x))), d.numbers(*shape), index
    return (lambda x, i, s: function(name)(x, dim, i, s)), d.numbers(*shape), index, source


def masked(d: Draw) -> Example:
    shape = d.shape()
    return nx.masked_select, d.numbers(*shape), d.mask(*shape)


def embedded(d: Draw) -> Example:
    count, size = d.int(1, 5), d.int(1, 4)
    return F.embedding, d.index(count, *d.shape(most=2)), d.numbers(count, size)


row("take", taken, linear=(0,))
row("index_select", picked, linear=(0,))
row("gather", partial(gathered, "gather"), linear=(0,))
row("take_along_dim", partial(gathered, "take_along_dim"), linear=(0,))
row("scatter", partial(scattered, "scatter"), linear=(0,))
row("scatter_add", partial(scattered, "scatter_add"), linear=(0, 2))
row("masked_select", masked, **LINEAR)
row("embedding", embedded, linear=(1,))
