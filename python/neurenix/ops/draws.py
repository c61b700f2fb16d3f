"""Random numbers that depend on tensors: coins, normal numbers, classes by weight."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import random
from neurenix._typing import DeviceLike, DTypeLike
from neurenix.errors import ArgumentError, RangeError, ShapeError
from neurenix.generators import Generator
from neurenix.ops._arguments import integer
from neurenix.ops.arithmetic import add, div, is_number, mul, sub
from neurenix.ops.compare import eq, ge, le, logical_and, lt
from neurenix.ops.convert import cast
from neurenix.ops.elementwise import common_shape
from neurenix.ops.layouts import where
from neurenix.ops.ordering import argsort
from neurenix.ops.parts import narrow
from neurenix.ops.power import clamp_min
from neurenix.ops.reduce import argmax, sum as sum_of
from neurenix.ops.scan import cumsum
from neurenix.ops.scatter import scatter
from neurenix.ops.searching import searchsorted
from neurenix.ops.shape import broadcast_to, reshape, unsqueeze
from neurenix.ops.softmax import softmax
from neurenix.ops.truth import all as all_of, any as any_of
from neurenix.ops.unary import as_floats, log, neg
from neurenix.tensor import Tensor, as_tensor


def _uniform(like: Tensor, generator: Generator | None = None) -> Tensor:
    return random.uniform(like.shape, dtype=like.dtype, device=like.device, generator=generator)


def bernoulli(input: Any, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that ``input`` (or ``p``) gives, else 0, in the input's shape and type, from the global generator or that given.

    Raises
    ------
    RangeError
        If one is no probability.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.bernoulli(nx.tensor([0.0, 1.0])), nx.bernoulli(nx.zeros(1000), p=1.0).sum().item()
    (tensor([0., 1.]), 1000.0)
    """
    x = as_tensor(input).detach()
    chances = as_floats("bernoulli", x) if p is None else broadcast_to(Tensor(p, dtype=np.float32, device=x.device), x.shape)
    if not all_of(logical_and(ge(chances, 0), le(chances, 1))).item():
        raise RangeError("bernoulli: expected probabilities from 0 to 1, got others; apply sigmoid to logits")
    return cast(lt(_uniform(chances, generator), chances), x.dtype)


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
) -> Tensor:
    """Normal numbers of this mean and standard deviation, numbers (with ``size``) or tensors, from the global generator or that given.

    Raises
    ------
    RangeError
        If a deviation is negative.

    Examples
    --------
    >>> import neurenix as nx
    >>> _ = nx.manual_seed(0)
    >>> x = nx.normal(5.0, 2.0, size=(100, 100))
    >>> abs(x.mean().item() - 5.0) < 0.1, abs(x.std().item() - 2.0) < 0.1
    (True, True)
    """
    kind = dtype or next((v.dtype for v in (mean, std) if isinstance(v, Tensor) and v.dtype.kind == "f"), np.float32)
    beside = next((v.device for v in (mean, std) if isinstance(v, Tensor)), None)
    m, s = (Tensor(np.array(v, kind), device=beside) if is_number(v) else as_floats("normal", v) for v in (mean, std))
    if any_of(lt(s.detach(), 0)).item():
        raise RangeError("normal: expected standard deviations of at least 0, got negative ones; square or take abs")
    shape = common_shape("normal", m.shape, s.shape) if size is None else (size,) if is_number(size) else tuple(size)
    drawn = random.normal(shape, dtype=kind, device=device or beside, generator=generator)
    return add(mul(drawn, s.detach().to(drawn.dtype).to(drawn.device)), m.detach().to(drawn.dtype).to(drawn.device))


def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
    """``num_samples`` class numbers a row, each as likely as its weight; each at most once without ``replacement``.

    Parameters
    ----------
    input : Tensor, shape (C,) or (N, C)
        Weights of at least 0 that need not sum to 1.
    num_samples : int
    replacement : bool
    generator : Generator, optional
        Draw from it and not from the global one.

    Raises
    ------
    ArgumentError
        If a row has fewer classes with weight than are to be drawn.
    ShapeError
        If the weights have other axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.multinomial(nx.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 3.0]]), 4, replacement=True)
    tensor([[1, 1, 1, 1],
            [2, 2, 2, 2]])
    """
    w = as_floats("multinomial", input).detach()
    if w.ndim not in (1, 2):
        raise ShapeError(f"multinomial: expected (C,) or (N, C), got shape {w.shape}; flatten the other axes into the first")
    rows = w if w.ndim == 2 else unsqueeze(w, 0)
    possible = sum_of(cast(lt(0, rows), np.int64), -1)
    fewest = 1 if replacement else num_samples
    fine = all_of(logical_and(ge(rows, 0), lt(rows, math.inf))).item()
    if integer("multinomial", "num_samples", num_samples, 1) and not (fine and all_of(lt(fewest - 1, possible)).item()):
        raise ArgumentError(
            f"multinomial: expected finite weights of at least 0, {fewest} of them above it in each row, got others; check them"
        )
    if replacement:
        shares = cumsum(rows, -1)
        shape = (rows.shape[0], num_samples)
        aim = mul(random.uniform(shape, dtype=w.dtype, device=w.device, generator=generator), narrow(shares, -1, shares.shape[-1] - 1, 1))
        drawn = searchsorted(shares, aim, right=True)
    else:  # whoever of exponential clocks, one a class with its weight as rate, rings first
        clocks = div(neg(log(sub(1.0, _uniform(rows, generator)))), where(eq(rows, 0), 1.0, rows))
        drawn = narrow(argsort(where(eq(rows, 0), math.inf, clocks), -1), -1, 0, num_samples)
    return drawn if w.ndim == 2 else reshape(drawn, -1)


def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:  # noqa: ARG001 - as PyTorch
    """Softmax of logits with Gumbel noise over ``tau``: a sample of classes along ``dim`` with a gradient.

    With ``hard`` it is one-hot, with the gradient of the soft one. ``eps`` is accepted as in PyTorch and has no effect.

    References
    ----------
    .. [1] E. Jang et al., "Categorical reparameterization with Gumbel-softmax", ICLR 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> logits = nx.tensor([[0.0, 1000.0, 0.0]])
    >>> nx.nn.functional.gumbel_softmax(logits, hard=True)
    tensor([[0., 1., 0.]])
    """
    x = as_floats("gumbel_softmax", logits)
    rest = sub(1.0, _uniform(x.detach()))  # from (0, 1]: at 1 the noise would be infinite
    noise = neg(log(clamp_min(neg(log(rest)), float(np.finfo(x.dtype).eps) / 4)))
    soft = softmax(div(add(x, noise), tau), dim)
    if not hard:
        return soft
    peak = argmax(soft.detach(), dim, True)
    one_hot = scatter(mul(soft.detach(), 0.0), dim, peak, 1.0)
    return add(sub(one_hot, soft.detach()), soft)
