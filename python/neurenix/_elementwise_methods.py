"""Functions of elements: one line each, the work is in :mod:`neurenix.ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import neurenix

if TYPE_CHECKING:
    import neurenix.ops
    from neurenix.tensor import Tensor


class ElementwiseMethods:
    """Functions of elements as methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def add(self, other: Any, *, alpha: float = 1) -> Tensor:
        """See :func:`neurenix.ops.add`."""
        return neurenix.ops.add(self, other, alpha=alpha)

    def atan2(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.atan2`."""
        return neurenix.ops.atan2(self, other)

    def div(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """See :func:`neurenix.ops.div`."""
        return neurenix.ops.div(self, other, rounding_mode=rounding_mode)

    def divide(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """See :func:`neurenix.ops.divide`."""
        return neurenix.ops.divide(self, other, rounding_mode=rounding_mode)

    def floor_divide(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.floor_divide`."""
        return neurenix.ops.floor_divide(self, other)

    def fmod(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.fmod`."""
        return neurenix.ops.fmod(self, other)

    def maximum(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.maximum`."""
        return neurenix.ops.maximum(self, other)

    def minimum(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.minimum`."""
        return neurenix.ops.minimum(self, other)

    def mul(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.mul`."""
        return neurenix.ops.mul(self, other)

    def multiply(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.multiply`."""
        return neurenix.ops.multiply(self, other)

    def remainder(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.remainder`."""
        return neurenix.ops.remainder(self, other)

    def sub(self, other: Any, *, alpha: float = 1) -> Tensor:
        """See :func:`neurenix.ops.sub`."""
        return neurenix.ops.sub(self, other, alpha=alpha)

    def subtract(self, other: Any, *, alpha: float = 1) -> Tensor:
        """See :func:`neurenix.ops.subtract`."""
        return neurenix.ops.subtract(self, other, alpha=alpha)

    def true_divide(self, other: Any, *, rounding_mode: str | None = None) -> Tensor:
        """See :func:`neurenix.ops.true_divide`."""
        return neurenix.ops.true_divide(self, other, rounding_mode=rounding_mode)

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """See :func:`neurenix.ops.clamp`."""
        return neurenix.ops.clamp(self, min, max)

    def clamp_max(self, max: Any) -> Tensor:
        """See :func:`neurenix.ops.clamp_max`."""
        return neurenix.ops.clamp_max(self, max)

    def clamp_min(self, min: Any) -> Tensor:
        """See :func:`neurenix.ops.clamp_min`."""
        return neurenix.ops.clamp_min(self, min)

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """See :func:`neurenix.ops.clip`."""
        return neurenix.ops.clip(self, min, max)

    def nan_to_num(self, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
        """See :func:`neurenix.ops.nan_to_num`."""
        return neurenix.ops.nan_to_num(self, nan, posinf, neginf)

    def pow(self, exponent: Any) -> Tensor:
        """See :func:`neurenix.ops.pow`."""
        return neurenix.ops.pow(self, exponent)

    def abs(self) -> Tensor:
        """See :func:`neurenix.ops.abs`."""
        return neurenix.ops.abs(self)

    def absolute(self) -> Tensor:
        """See :func:`neurenix.ops.absolute`."""
        return neurenix.ops.absolute(self)

    def acos(self) -> Tensor:
        """See :func:`neurenix.ops.acos`."""
        return neurenix.ops.acos(self)

    def acosh(self) -> Tensor:
        """See :func:`neurenix.ops.acosh`."""
        return neurenix.ops.acosh(self)

    def arccos(self) -> Tensor:
        """See :func:`neurenix.ops.arccos`."""
        return neurenix.ops.arccos(self)

    def arccosh(self) -> Tensor:
        """See :func:`neurenix.ops.arccosh`."""
        return neurenix.ops.arccosh(self)

    def arcsin(self) -> Tensor:
        """See :func:`neurenix.ops.arcsin`."""
        return neurenix.ops.arcsin(self)

    def arcsinh(self) -> Tensor:
        """See :func:`neurenix.ops.arcsinh`."""
        return neurenix.ops.arcsinh(self)

    def arctan(self) -> Tensor:
        """See :func:`neurenix.ops.arctan`."""
        return neurenix.ops.arctan(self)

    def arctanh(self) -> Tensor:
        """See :func:`neurenix.ops.arctanh`."""
        return neurenix.ops.arctanh(self)

    def asin(self) -> Tensor:
        """See :func:`neurenix.ops.asin`."""
        return neurenix.ops.asin(self)

    def asinh(self) -> Tensor:
        """See :func:`neurenix.ops.asinh`."""
        return neurenix.ops.asinh(self)

    def atan(self) -> Tensor:
        """See :func:`neurenix.ops.atan`."""
        return neurenix.ops.atan(self)

    def atanh(self) -> Tensor:
        """See :func:`neurenix.ops.atanh`."""
        return neurenix.ops.atanh(self)

    def ceil(self) -> Tensor:
        """See :func:`neurenix.ops.ceil`."""
        return neurenix.ops.ceil(self)

    def cos(self) -> Tensor:
        """See :func:`neurenix.ops.cos`."""
        return neurenix.ops.cos(self)

    def cosh(self) -> Tensor:
        """See :func:`neurenix.ops.cosh`."""
        return neurenix.ops.cosh(self)

    def erf(self) -> Tensor:
        """See :func:`neurenix.ops.erf`."""
        return neurenix.ops.erf(self)

    def exp(self) -> Tensor:
        """See :func:`neurenix.ops.exp`."""
        return neurenix.ops.exp(self)

    def exp2(self) -> Tensor:
        """See :func:`neurenix.ops.exp2`."""
        return neurenix.ops.exp2(self)

    def expm1(self) -> Tensor:
        """See :func:`neurenix.ops.expm1`."""
        return neurenix.ops.expm1(self)

    def fix(self) -> Tensor:
        """See :func:`neurenix.ops.fix`."""
        return neurenix.ops.fix(self)

    def floor(self) -> Tensor:
        """See :func:`neurenix.ops.floor`."""
        return neurenix.ops.floor(self)

    def frac(self) -> Tensor:
        """See :func:`neurenix.ops.frac`."""
        return neurenix.ops.frac(self)

    def log(self) -> Tensor:
        """See :func:`neurenix.ops.log`."""
        return neurenix.ops.log(self)

    def log10(self) -> Tensor:
        """See :func:`neurenix.ops.log10`."""
        return neurenix.ops.log10(self)

    def log1p(self) -> Tensor:
        """See :func:`neurenix.ops.log1p`."""
        return neurenix.ops.log1p(self)

    def log2(self) -> Tensor:
        """See :func:`neurenix.ops.log2`."""
        return neurenix.ops.log2(self)

    def neg(self) -> Tensor:
        """See :func:`neurenix.ops.neg`."""
        return neurenix.ops.neg(self)

    def negative(self) -> Tensor:
        """See :func:`neurenix.ops.negative`."""
        return neurenix.ops.negative(self)

    def reciprocal(self) -> Tensor:
        """See :func:`neurenix.ops.reciprocal`."""
        return neurenix.ops.reciprocal(self)

    def round(self, *, decimals: int = 0) -> Tensor:
        """See :func:`neurenix.ops.round`."""
        return neurenix.ops.round(self, decimals=decimals)

    def rsqrt(self) -> Tensor:
        """See :func:`neurenix.ops.rsqrt`."""
        return neurenix.ops.rsqrt(self)

    def sign(self) -> Tensor:
        """See :func:`neurenix.ops.sign`."""
        return neurenix.ops.sign(self)

    def sin(self) -> Tensor:
        """See :func:`neurenix.ops.sin`."""
        return neurenix.ops.sin(self)

    def sinh(self) -> Tensor:
        """See :func:`neurenix.ops.sinh`."""
        return neurenix.ops.sinh(self)

    def sqrt(self) -> Tensor:
        """See :func:`neurenix.ops.sqrt`."""
        return neurenix.ops.sqrt(self)

    def square(self) -> Tensor:
        """See :func:`neurenix.ops.square`."""
        return neurenix.ops.square(self)

    def tan(self) -> Tensor:
        """See :func:`neurenix.ops.tan`."""
        return neurenix.ops.tan(self)

    def tanh(self) -> Tensor:
        """See :func:`neurenix.ops.tanh`."""
        return neurenix.ops.tanh(self)

    def trunc(self) -> Tensor:
        """See :func:`neurenix.ops.trunc`."""
        return neurenix.ops.trunc(self)

    def prelu(self, weight: Any) -> Tensor:
        """See :func:`neurenix.ops.prelu`."""
        return neurenix.ops.prelu(self, weight)

    def relu(self, inplace: bool = False) -> Tensor:
        """See :func:`neurenix.ops.relu`."""
        return neurenix.ops.relu(self, inplace)

    def sigmoid(self) -> Tensor:
        """See :func:`neurenix.ops.sigmoid`."""
        return neurenix.ops.sigmoid(self)

    def deg2rad(self) -> Tensor:
        """See :func:`neurenix.ops.deg2rad`."""
        return neurenix.ops.deg2rad(self)

    def erfc(self) -> Tensor:
        """See :func:`neurenix.ops.erfc`."""
        return neurenix.ops.erfc(self)

    def hypot(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.hypot`."""
        return neurenix.ops.hypot(self, other)

    def lerp(self, end: Any, weight: Any) -> Tensor:
        """See :func:`neurenix.ops.lerp`."""
        return neurenix.ops.lerp(self, end, weight)

    def logaddexp(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.logaddexp`."""
        return neurenix.ops.logaddexp(self, other)

    def logit(self, eps: float | None = None) -> Tensor:
        """See :func:`neurenix.ops.logit`."""
        return neurenix.ops.logit(self, eps)

    def rad2deg(self) -> Tensor:
        """See :func:`neurenix.ops.rad2deg`."""
        return neurenix.ops.rad2deg(self)

    def xlogy(self, other: Any) -> Tensor:
        """See :func:`neurenix.ops.xlogy`."""
        return neurenix.ops.xlogy(self, other)
