"""Rarer functions: one line each, the work is in :mod:`neurenix.ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import neurenix

if TYPE_CHECKING:
    import neurenix.ops
    from neurenix.generators import Generator
    from neurenix.ops.reduce import Extreme
    from neurenix.tensor import Tensor


class NumericMethods:
    """Rarer functions as methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def copysign(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.copysign`."""
        return neurenix.ops.copysign(self, other)

    def float_power(self, exponent: Any) -> Tensor:
        """See :func:`neurenix.ops.float_power`."""
        return neurenix.ops.float_power(self, exponent)

    def fmax(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.fmax`."""
        return neurenix.ops.fmax(self, other)

    def fmin(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.fmin`."""
        return neurenix.ops.fmin(self, other)

    def gcd(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.gcd`."""
        return neurenix.ops.gcd(self, other)

    def heaviside(self, values: Any) -> Tensor:
        """See :func:`neurenix.ops.heaviside`."""
        return neurenix.ops.heaviside(self, values)

    def isneginf(self) -> Tensor:
        """See :func:`neurenix.ops.isneginf`."""
        return neurenix.ops.isneginf(self)

    def isposinf(self) -> Tensor:
        """See :func:`neurenix.ops.isposinf`."""
        return neurenix.ops.isposinf(self)

    def isreal(self) -> Tensor:
        """See :func:`neurenix.ops.isreal`."""
        return neurenix.ops.isreal(self)

    def lcm(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.lcm`."""
        return neurenix.ops.lcm(self, other)

    def ldexp(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.ldexp`."""
        return neurenix.ops.ldexp(self, other)

    def logaddexp2(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.logaddexp2`."""
        return neurenix.ops.logaddexp2(self, other)

    def positive(self) -> Tensor:
        """See :func:`neurenix.ops.positive`."""
        return neurenix.ops.positive(self)

    def sgn(self) -> Tensor:
        """See :func:`neurenix.ops.sgn`."""
        return neurenix.ops.sgn(self)

    def signbit(self) -> Tensor:
        """See :func:`neurenix.ops.signbit`."""
        return neurenix.ops.signbit(self)

    def digamma(self) -> Tensor:
        """See :func:`neurenix.ops.digamma`."""
        return neurenix.ops.digamma(self)

    def erfinv(self) -> Tensor:
        """See :func:`neurenix.ops.erfinv`."""
        return neurenix.ops.erfinv(self)

    def i0(self) -> Tensor:
        """See :func:`neurenix.ops.i0`."""
        return neurenix.ops.i0(self)

    def lgamma(self) -> Tensor:
        """See :func:`neurenix.ops.lgamma`."""
        return neurenix.ops.lgamma(self)

    def mvlgamma(self, p: int) -> Tensor:
        """See :func:`neurenix.ops.mvlgamma`."""
        return neurenix.ops.mvlgamma(self, p)

    def polygamma(self, n: int) -> Tensor:
        """See :func:`neurenix.ops.polygamma`."""
        return neurenix.ops.polygamma(n, self)

    def sinc(self) -> Tensor:
        """See :func:`neurenix.ops.sinc`."""
        return neurenix.ops.sinc(self)

    def cummax(self, dim: int) -> Extreme:
        """See :func:`neurenix.ops.cummax`."""
        return neurenix.ops.cummax(self, dim)

    def cummin(self, dim: int) -> Extreme:
        """See :func:`neurenix.ops.cummin`."""
        return neurenix.ops.cummin(self, dim)

    def logcumsumexp(self, dim: int) -> Tensor:
        """See :func:`neurenix.ops.logcumsumexp`."""
        return neurenix.ops.logcumsumexp(self, dim)

    def nanmedian(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """See :func:`neurenix.ops.nanmedian`."""
        return neurenix.ops.nanmedian(self, dim, keepdim)

    def nanquantile(self, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
        """See :func:`neurenix.ops.nanquantile`."""
        return neurenix.ops.nanquantile(self, q, dim, keepdim, interpolation=interpolation)

    def quantile(self, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Tensor:
        """See :func:`neurenix.ops.quantile`."""
        return neurenix.ops.quantile(self, q, dim, keepdim, interpolation=interpolation)

    def mode(self, dim: int = -1, keepdim: bool = False) -> Any:
        """See :func:`neurenix.ops.mode`."""
        return neurenix.ops.mode(self, dim, keepdim)

    def msort(self) -> Tensor:
        """See :func:`neurenix.ops.msort`."""
        return neurenix.ops.msort(self)

    def histc(self, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
        """See :func:`neurenix.ops.histc`."""
        return neurenix.ops.histc(self, bins, min, max)

    def bincount(self, weights: Any = None, minlength: int = 0) -> Tensor:
        """See :func:`neurenix.ops.bincount`."""
        return neurenix.ops.bincount(self, weights, minlength)

    def unique(self, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
        """See :func:`neurenix.ops.unique`."""
        return neurenix.ops.unique(self, sorted, return_inverse, return_counts, dim)

    def unique_consecutive(self, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
        """See :func:`neurenix.ops.unique_consecutive`."""
        return neurenix.ops.unique_consecutive(self, return_inverse, return_counts, dim)

    def corrcoef(self) -> Tensor:
        """See :func:`neurenix.ops.corrcoef`."""
        return neurenix.ops.corrcoef(self)

    def cov(self, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
        """See :func:`neurenix.ops.cov`."""
        return neurenix.ops.cov(self, correction=correction, fweights=fweights, aweights=aweights)

    def cross(self, other: Any, dim: int | None = None) -> Tensor:
        """See :func:`neurenix.ops.cross`."""
        return neurenix.ops.cross(self, other, dim)

    def kron(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.kron`."""
        return neurenix.ops.kron(self, other)

    def matrix_power(self, n: int) -> Tensor:
        """See :func:`neurenix.ops.matrix_power`."""
        return neurenix.ops.matrix_power(self, n)

    def trace(self) -> Tensor:
        """See :func:`neurenix.ops.trace`."""
        return neurenix.ops.trace(self)

    def vdot(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.vdot`."""
        return neurenix.ops.vdot(self, other)

    def addr(self, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """See :func:`neurenix.ops.addr`."""
        return neurenix.ops.addr(self, vec1, vec2, beta=beta, alpha=alpha)

    def ger(self, vec2: Any) -> Tensor:
        """See :func:`neurenix.ops.ger`."""
        return neurenix.ops.ger(self, vec2)

    def renorm(self, p: float, dim: int, maxnorm: float) -> Tensor:
        """See :func:`neurenix.ops.renorm`."""
        return neurenix.ops.renorm(self, p, dim, maxnorm)

    def unfold(self, dimension: int, size: int, step: int) -> Tensor:
        """See :func:`neurenix.ops.sliding_windows`."""
        return neurenix.ops.sliding_windows(self, dimension, size, step)

    def addcdiv(self, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
        """See :func:`neurenix.ops.addcdiv`."""
        return neurenix.ops.addcdiv(self, tensor1, tensor2, value=value)

    def addcmul(self, tensor1: Any, tensor2: Any, *, value: float = 1) -> Tensor:
        """See :func:`neurenix.ops.addcmul`."""
        return neurenix.ops.addcmul(self, tensor1, tensor2, value=value)

    def bernoulli(self, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
        """See :func:`neurenix.ops.bernoulli`."""
        return neurenix.ops.bernoulli(self, p, generator=generator)

    def multinomial(self, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
        """See :func:`neurenix.ops.multinomial`."""
        return neurenix.ops.multinomial(self, num_samples, replacement, generator=generator)
