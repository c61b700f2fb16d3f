"""Reductions, scans, orders and norms of vectors."""

from __future__ import annotations

from functools import partial
from typing import Any

from properties.draws import Draw
from properties.table import Example, function, row

import neurenix as nx
from neurenix.nn import functional as F


def reduced(name: str, d: Draw, distinct: bool = False, least: int = 1, **domain: Any) -> Example:
    """Over all axes, some or one, kept or not."""
    shape = d.shape(least=least)
    x = d.distinct(*shape) if distinct else d.numbers(*shape, **domain)
    dim = d.pick(None, d.dims(len(shape)) or None)
    keywords = {"keepdim": d.flag()}
    if dim is not None:
        keywords["dim"] = dim
    return partial(function(name), **keywords), x


def along(name: str, d: Draw, distinct: bool = False, keepdim: bool = False, **domain: Any) -> Example:
    """Along one axis."""
    shape = d.shape(least=1)
    x = d.distinct(*shape) if distinct else d.numbers(*shape, **domain)
    keywords = {"dim": d.dim(len(shape)), **({"keepdim": d.flag()} if keepdim else {})}
    return partial(function(name), **keywords), x


def spread(name: str, d: Draw) -> Example:
    shape = d.shape(least=1)
    return partial(function(name), dim=d.dims(len(shape)), keepdim=d.flag(), correction=0), d.distinct(*shape) + 3


row("sum", partial(reduced, "sum"), linear=(0,), empty=True)
row("mean", partial(reduced, "mean"), linear=(0,))
row("nansum", partial(reduced, "nansum"), linear=(0,), empty=True)
row("nanmean", partial(reduced, "nanmean"), linear=(0,))
row("amax", partial(reduced, "amax", distinct=True))
row("amin", partial(reduced, "amin", distinct=True))
row("logsumexp", lambda d: along("logsumexp", d, keepdim=True))
row("aminmax", partial(along, "aminmax", distinct=True, keepdim=True))
row("max", partial(along, "max", distinct=True, keepdim=True))
row("min", partial(along, "min", distinct=True, keepdim=True))
row("median", partial(along, "median", distinct=True, keepdim=True))
row("prod", partial(along, "prod", keepdim=True))
row("cumsum", partial(along, "cumsum"), linear=(0,), empty=True)
row("cumprod", partial(along, "cumprod"), empty=True)
row("softmax", partial(along, "softmax"), empty=True)
row("log_softmax", partial(along, "log_softmax"), empty=True)
row("softmin", partial(along, "softmin"), empty=True)


def several(name: str, d: Draw) -> Example:
    """At least two values along each reduced axis, so that the deviation is not zero."""
    shape = tuple(s + 1 for s in d.shape(least=1))
    return partial(function(name), dim=d.dims(len(shape)), keepdim=d.flag(), correction=d.pick(0, 1)), d.distinct(*shape)


for _name in ("var", "std", "var_mean", "std_mean"):
    row(_name, partial(several, _name))


def norm(d: Draw) -> Example:
    shape = d.shape(least=1)
    p = d.pick(1, 2, 3, 0.5, float("inf"), -float("inf"))
    return partial(nx.norm, p=p, dim=d.dim(len(shape)), keepdim=d.flag()), d.distinct(*shape)


def two_vectors(name: str, d: Draw) -> Example:
    shape = d.map(d.int(0, 2))
    return function(name), d.numbers(*shape), d.numbers(*shape, low=2.1, high=3)


row("norm", norm, tolerance=1e-5)
row("normalize", lambda d: (partial(F.normalize, p=d.pick(2.0, 3.0), dim=1), d.numbers(*d.map(2), low=0.2)))
row("cosine_similarity", partial(two_vectors, "cosine_similarity"))
row("pairwise_distance", partial(two_vectors, "pairwise_distance"))
row("dist", lambda d: (partial(nx.dist, p=d.pick(1, 2, 3)), d.numbers(3, 2), d.numbers(3, 2, low=2.1, high=3)))
row("cdist", lambda d: (nx.cdist, d.numbers(d.int(1, 3), 2, 3), d.numbers(1, 4, 3, low=2.1, high=3)))


def ordered(name: str, d: Draw) -> Example:
    shape = d.shape(least=1)
    dim = d.dim(len(shape))
    keywords: dict[str, Any] = {"dim": dim}
    if name == "sort":
        keywords["descending"] = d.flag()
    else:
        keywords["k"] = d.int(1, shape[dim])
    return partial(function(name), **keywords), d.distinct(*shape)


for _name in ("sort", "topk", "kthvalue"):
    row(_name, partial(ordered, _name))


def difference(d: Draw) -> Example:
    shape = d.shape(least=1)
    return partial(nx.diff, n=d.int(1, 2), dim=d.dim(len(shape))), d.numbers(*shape)


row("diff", difference, linear=(0,))
