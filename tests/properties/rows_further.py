"""Operations made of others: special functions, vectors, replaced parts, running values, quantiles, losses of distances."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from properties.draws import Draw
from properties.rows_elementwise import apart, unary
from properties.rows_reductions import along, two_vectors
from properties.rows_shapes import plain, stacked
from properties.table import Example, constant, function, row

import neurenix as nx
from neurenix.nn import functional as F

SPECIAL: dict[str, dict[str, Any]] = {
    "digamma": {"low": 0.3, "high": 4},
    "erfinv": {"low": -0.9, "high": 0.9},
    "i0": {},
    "lgamma": {"low": 0.3, "high": 4},
    "sgn": {"kinks": (0,)},
    "sinc": {"kinks": (0,), "gap": 0.05},
    "positive": {},
}
for _name, _domain in SPECIAL.items():
    row(_name, partial(unary, _name, _domain), empty=True, tolerance=1e-5)
row("polygamma", lambda d: (partial(nx.polygamma, 0), d.numbers(*d.shape(), low=0.6, high=4)), tolerance=1e-5)
row("mvlgamma", lambda d: (partial(nx.mvlgamma, p=d.int(1, 2)), d.numbers(*d.shape(), low=1.5, high=4)), tolerance=1e-5)

for _name in ("fmax", "fmin"):
    row(_name, partial(apart, _name), empty=True)
row("logaddexp2", partial(two_vectors, "logaddexp2"))
row("float_power", lambda d: (partial(nx.float_power, exponent=d.pick(2, 3, 0.5)), d.numbers(*d.shape(), low=0.3)))
row("copysign", lambda d: (nx.copysign, x := d.numbers(*d.shape(), kinks=(0,)), d.numbers(*x.shape, kinks=(0,))))


def scaled(d: Draw) -> Example:
    shape = d.shape()
    return nx.ldexp, d.numbers(*shape), d.index(4, *shape)


row("ldexp", scaled, linear=(0,))

# arrangement

for _name in ("atleast_1d", "atleast_2d", "atleast_3d"):
    row(_name, partial(plain, _name), linear=(0,))
row("diagflat", lambda d: (partial(nx.diagflat, offset=d.int(-1, 1)), d.numbers(*d.shape(least=1, most=2))), linear=(0,))
row("block_diag", lambda d: (nx.block_diag, d.numbers(d.int(1, 3), 2), d.numbers(2, d.int(1, 3))), linear=(0, 1))
row("cartesian_prod", lambda d: (nx.cartesian_prod, d.numbers(d.int(1, 3)), d.numbers(d.int(1, 3))), linear=(0, 1))
row("combinations", lambda d: (partial(nx.combinations, with_replacement=d.flag()), d.numbers(d.int(2, 5))), linear=(0,))
row("column_stack", partial(stacked, "column_stack"), linear=(0, 1))
row("renorm", lambda d: (lambda x: nx.renorm(x, 2, 0, 1.0), d.numbers(*d.map(1), low=0.7)))


def cut(name: str, d: Draw) -> Example:
    shape = d.shape(least=3)
    return (lambda x: function(name)(x, [1])), d.numbers(*shape)


for _name in ("tensor_split", "hsplit", "vsplit", "dsplit"):
    row(_name, partial(cut, _name))

# vectors

row("addr", lambda d: (nx.addr, d.numbers(2, 3), d.numbers(2), d.numbers(3)), linear=(0, 1, 2))
row("vdot", lambda d: (nx.vdot, d.numbers(n := d.int(1, 6)), d.numbers(n)), linear=(0, 1))
row("cross", lambda d: (partial(nx.cross, dim=-1), d.numbers(n := d.int(1, 4), 3), d.numbers(n, 3)), linear=(0, 1))
row("kron", lambda d: (nx.kron, d.numbers(*d.shape(least=1, most=2)), d.numbers(2, d.int(1, 3))), linear=(0, 1))
row("trace", lambda d: (nx.trace, d.numbers(d.int(1, 5), d.int(1, 5))), linear=(0,))
row(
    "matrix_power",
    lambda d: (lambda x: nx.matrix_power(x, n), d.numbers(k := d.int(1, 4), k)) if (n := d.int(1, 3)) else (),
    tolerance=1e-5,
)
row("cov", lambda d: (nx.cov, d.numbers(d.int(1, 3), d.int(3, 6))))
row("corrcoef", lambda d: (nx.corrcoef, d.distinct(d.int(2, 3), d.int(3, 6))))

# replaced parts


def replaced(name: str, d: Draw) -> Example:
    """Along an axis, at places each once."""
    shape = d.shape(least=1)
    dim = d.dim(len(shape))
    index = np.asarray(d.order(shape[dim])[: d.int(1, shape[dim])])
    if name == "index_fill":
        return (lambda x, i: nx.index_fill(x, dim, i, 0.5)), d.numbers(*shape), index
    sizes = list(shape)
    sizes[dim] = len(index)
    return (lambda x, i, s: function(name)(x, dim, i, s)), d.numbers(*shape), index, d.numbers(*sizes)


row("index_fill", partial(replaced, "index_fill"), linear=(0,))
row("index_copy", partial(replaced, "index_copy"), linear=(0, 2))
row("index_add", partial(replaced, "index_add"), linear=(0, 2))


def put(d: Draw) -> Example:
    shape = d.shape(least=1)
    index = d.index(shape[0], d.int(1, 4))
    return (lambda x, i, v: nx.index_put(x, (i,), v, accumulate=True)), d.numbers(*shape), index, d.numbers(len(index), *shape[1:])


def over_part(name: str, d: Draw) -> Example:
    if name == "diagonal_scatter":
        shape = (d.int(1, 4), d.int(1, 4))
        return nx.diagonal_scatter, d.numbers(*shape), d.numbers(min(shape))
    shape = d.shape(least=2)
    if name == "select_scatter":
        index = d.int(0, shape[1] - 1)
        return (lambda x, s: nx.select_scatter(x, s, 1, index)), d.numbers(*shape), d.numbers(shape[0], *shape[2:])
    return (lambda x, s: nx.slice_scatter(x, s, 1, 1)), d.numbers(*shape), d.numbers(shape[0], shape[1] - 1, *shape[2:])


def summed_up(name: str, d: Draw) -> Example:
    """Reductions into places, in a way in which nothing is equal."""
    shape = (d.int(1, 4), d.int(1, 3))
    count, reduce = d.int(1, 4), d.pick("mean", "amax", "amin", "prod")
    sizes = (count, shape[1])
    index = d.index(shape[0], *(sizes if name == "scatter_reduce" else sizes[:1]))
    values = d.distinct(shape[0] * shape[1] + count * shape[1])
    x, source = values[: shape[0] * shape[1]].reshape(shape), values[shape[0] * shape[1] :].reshape(sizes)
    return (lambda x, i, s: function(name)(x, 0, i, s, reduce)), x, index, source


def masked(d: Draw) -> Example:
    shape = d.shape()
    mask = d.mask(*shape)
    return nx.masked_scatter, d.numbers(*shape), mask, d.numbers(mask.size + 1)


row("index_put", put, linear=(0, 2))
for _name in ("diagonal_scatter", "select_scatter", "slice_scatter"):
    row(_name, partial(over_part, _name), linear=(0, 1))
row("scatter_reduce", partial(summed_up, "scatter_reduce"))
row("index_reduce", partial(summed_up, "index_reduce"))
row("masked_scatter", masked, linear=(0, 2))

# running values, quantiles

row("cummax", partial(along, "cummax", distinct=True))
row("cummin", partial(along, "cummin", distinct=True))
row("logcumsumexp", partial(along, "logcumsumexp"))
row("trapezoid", partial(along, "trapezoid"), linear=(0,))
row("cumulative_trapezoid", partial(along, "cumulative_trapezoid"), linear=(0,))
row("gradient", lambda d: (partial(nx.gradient, spacing=0.5, dim=0), d.numbers(d.int(3, 6), d.int(1, 3))))
row("msort", lambda d: (nx.msort, d.distinct(*d.shape(least=1))))
row("mode", partial(along, "mode", distinct=True, keepdim=True))
row("nanmedian", partial(along, "nanmedian", distinct=True, keepdim=True))


def quantile(name: str, d: Draw) -> Example:
    shape = d.shape(least=1)
    options = {"dim": d.dim(len(shape)), "keepdim": d.flag(), "interpolation": d.pick("linear", "lower", "higher", "midpoint")}
    return (lambda x: function(name)(x, 0.3, **options)), d.distinct(*shape)


row("quantile", partial(quantile, "quantile"))
row("nanquantile", partial(quantile, "nanquantile"))

# losses of distances

row("pdist", lambda d: (nx.pdist if hasattr(nx, "pdist") else F.pdist, d.distinct(d.int(2, 4), d.int(1, 3))))


def two_and_signs(name: str, d: Draw) -> Example:
    count, size = d.int(1, 4), d.int(2, 4)
    shape = (count, size) if name == "cosine_embedding_loss" else (count,)
    target = np.where(d.mask(count), 1.0, -1.0)
    return (lambda x, y: function(name)(x, y, constant(target, x))), d.numbers(*shape, low=0.5), d.numbers(*shape, low=-2, high=-0.5)


def hinged(d: Draw) -> Example:
    shape = d.shape()
    target = np.asarray(np.where(d.mask(*shape), 1.0, -1.0))
    return (lambda x: F.hinge_embedding_loss(x, constant(target, x))), d.numbers(*shape, kinks=(1,))


def triplet(name: str, d: Draw) -> Example:
    shape = (d.int(1, 3), d.int(2, 4))
    return partial(function(name), margin=20.0), d.numbers(*shape), d.numbers(*shape, low=3, high=4), d.numbers(*shape, low=-4, high=-3)


def gaussian(d: Draw) -> Example:
    shape = d.shape(least=1)
    target = d.numbers(*shape)
    return (lambda x, v: F.gaussian_nll_loss(x, constant(target, x), v, full=True)), d.numbers(*shape), d.numbers(*shape, low=0.5)


row("cosine_embedding_loss", partial(two_and_signs, "cosine_embedding_loss"))
row("margin_ranking_loss", partial(two_and_signs, "margin_ranking_loss"))
row("hinge_embedding_loss", hinged)
row("triplet_margin_loss", partial(triplet, "triplet_margin_loss"))
row("triplet_margin_with_distance_loss", partial(triplet, "triplet_margin_with_distance_loss"))
row("gaussian_nll_loss", gaussian)


def gumbel(d: Draw) -> Example:
    def fn(x: nx.Tensor) -> Any:
        nx.manual_seed(5)
        return F.gumbel_softmax(x, tau=2.0)

    return fn, d.numbers(d.int(1, 3), d.int(2, 4))


row("gumbel_softmax", gumbel)
