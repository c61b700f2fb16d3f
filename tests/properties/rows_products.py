"""Products of matrices and what is made of them."""

from __future__ import annotations

from functools import partial
from typing import Any

from properties.draws import Draw
from properties.table import Example, row

import neurenix as nx
from neurenix.nn import functional as F


def sizes(d: Draw, n: int) -> tuple[int, ...]:
    return tuple(d.int(1, 5) for _ in range(n))


def matmul(d: Draw) -> Example:
    m, k, n = sizes(d, 3)
    batch = d.shape(most=2, side=3)
    left = (*d.narrower(batch), m, k) if d.flag() else (k,)
    right = (*batch, k, n) if d.flag() else (k,)
    return nx.matmul, d.numbers(*left), d.numbers(*right)


def matrices(function: Any, d: Draw, *, batch: bool = False) -> Example:
    m, k, n = sizes(d, 3)
    b = (d.int(1, 3),) if batch else ()
    return function, d.numbers(*b, m, k), d.numbers(*b, k, n)


def added(function: Any, d: Draw, *, batch: bool, kept: bool) -> Example:
    m, k, n = sizes(d, 3)
    b = (d.int(1, 3),) if batch else ()
    plus = d.narrower((*(b if kept else ()), m, n))
    return partial(function, beta=0.5, alpha=2.0), d.numbers(*plus), d.numbers(*b, m, k), d.numbers(*b, k, n)


row("matmul", matmul, linear=(0, 1))
row("mm", partial(matrices, nx.mm), linear=(0, 1), batched=(0,))
row("bmm", partial(matrices, nx.bmm, batch=True), linear=(0, 1), batched=(0, 1))
row("addmm", partial(added, nx.addmm, batch=False, kept=False), linear=(0, 1, 2))
row("baddbmm", partial(added, nx.baddbmm, batch=True, kept=True), linear=(0, 1, 2))
row("addbmm", partial(added, nx.addbmm, batch=True, kept=False), linear=(0, 1, 2))
row("addmv", lambda d: (nx.addmv, d.numbers(3), d.numbers(3, 4), d.numbers(4)), linear=(0, 1, 2))
row("mv", lambda d: (nx.mv, d.numbers(3, k := d.int(1, 5)), d.numbers(k)), linear=(0, 1))
row("dot", lambda d: (nx.dot, d.numbers(k := d.int(1, 9)), d.numbers(k)), linear=(0, 1))
row("inner", lambda d: (nx.inner, d.numbers(2, 3, k := d.int(1, 5)), d.numbers(4, k)), linear=(0, 1))
row("outer", lambda d: (nx.outer, d.numbers(d.int(1, 5)), d.numbers(d.int(1, 5))), linear=(0, 1))
row("chain_matmul", lambda d: (nx.chain_matmul, d.numbers(2, k := d.int(1, 4)), d.numbers(k, 3), d.numbers(3, 2)), linear=(0, 1, 2))


def contracted(d: Draw) -> Example:
    a, b, c = sizes(d, 3)
    dims = d.pick(1, ([2, 1], [0, 1]), ([0], [2]))
    second = {1: (c, b, a)}.get(dims if dims == 1 else 0, (c, b, a))
    return partial(nx.tensordot, dims=dims), d.numbers(a, b, c), d.numbers(*second)


EQUATIONS = {
    "ij,jk->ik": ("ij", "jk"),
    "bij,bkj->bik": ("bij", "bkj"),
    "ij->ji": ("ij",),
    "ii->i": ("ii",),
    "i,j->ij": ("i", "j"),
    "bchw,ck->bkhw": ("bchw", "ck"),
    "ij,ij->": ("ij", "ij"),
}


def einsum(d: Draw) -> Example:
    equation = d.pick(*EQUATIONS)
    side = {letter: d.int(1, 4) for letter in "bcehijkw"}
    arrays = [d.numbers(*(side[s] for s in term)) for term in EQUATIONS[equation]]
    return partial(nx.einsum, equation), *arrays


row("tensordot", contracted, linear=(0, 1))
row("einsum", einsum, linear=(0,))


def linear(d: Draw) -> Example:
    inputs, outputs = d.int(1, 7), d.int(1, 7)
    x = (*d.shape(least=1, most=2), inputs)
    return F.linear, d.numbers(*x), d.numbers(outputs, inputs), d.numbers(outputs)


def bilinear(d: Draw) -> Example:
    n, a, b, c = sizes(d, 4)
    return F.bilinear, d.numbers(n, a), d.numbers(n, b), d.numbers(c, a, b), d.numbers(c)


def attention(d: Draw) -> Example:
    heads, queries, keys, width = sizes(d, 4)
    fn = partial(F.scaled_dot_product_attention, is_causal=d.flag())
    return fn, d.numbers(2, heads, queries, width), d.numbers(2, heads, keys, width), d.numbers(2, heads, keys, 3)


row("linear", linear, linear=(0, 1, 2), batched=(0,), empty=True)
row("bilinear", bilinear, linear=(0, 1, 2, 3))
row("scaled_dot_product_attention", attention, linear=(2,), batched=(0, 1, 2))
