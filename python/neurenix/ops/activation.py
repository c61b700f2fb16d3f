"""Activations: functions of one element under PyTorch's names, with their kinks' conventions.

``inplace`` is accepted and ignored: the result is a new tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix import autograd
from neurenix._typing import Array
from neurenix.backend import same_device
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops.elementwise import Binary, Question, Unary, ask, choose, map1, map2, scalar
from neurenix.ops.power import clamp, clamp_min
from neurenix.ops.reduce import axis_of, floats_only, sum_to
from neurenix.ops.unary import as_floats, unary_with
from neurenix.tensor import Tensor, as_tensor

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _activation(name: str, input: Any, op: Unary, rule: Binary, a: float = 0.0, b: float = 0.0) -> Tensor:
    x = as_tensor(input)
    floats_only(name, x)
    return unary_with(name, x, op, rule, a, b)


def relu(input: Any, inplace: bool = False) -> Tensor:
    """``max(input, 0)``; the gradient at 0 is 0, NaN stays NaN.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.relu(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])

    References
    ----------
    .. [1] V. Nair and G. Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.
    """
    x = as_tensor(input)
    if x.dtype.kind in "iu":
        return clamp_min(x, 0)
    floats_only("relu", x)
    y = map1(Unary.RELU, x._array)

    def vjp(g: Array) -> tuple[Array]:
        return (map2(Binary.RELU_GRAD, g, y),)

    return autograd.record("relu", y, (x,), vjp)


def sigmoid(input: Any) -> Tensor:
    """``1 / (1 + exp(-input))``; integers become float32.

    The result remembers its input, so that losses of probabilities are computed from logits, without cancellation.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.sigmoid(nx.tensor([0.0, 2.0, -200.0]))
    tensor([0.5   , 0.8808, 0.    ])
    """
    x = as_floats("sigmoid", input)
    y = map1(Unary.SIGMOID, x._array)

    def vjp(g: Array) -> tuple[Array]:
        return (map2(Binary.SIGMOID_GRAD, g, y),)

    out = autograd.record("sigmoid", y, (x,), vjp)
    out._logits = ("sigmoid", x, 0)
    return out


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``input`` where positive, else ``negative_slope * input``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.leaky_relu(nx.tensor([-1.0, 2.0]), 0.1)
    tensor([-0.1,  2. ])
    """
    return _activation("leaky_relu", input, Unary.LEAKY_RELU, Binary.LEAKY_RELU_GRAD, negative_slope)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` where positive, else ``alpha * (exp(input) - 1)``.

    References
    ----------
    .. [1] D.-A. Clevert et al., "Fast and accurate deep network learning by exponential linear units", ICLR 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.elu(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.6321,  0.    ,  2.    ])
    """
    return _activation("elu", input, Unary.ELU, Binary.ELU_GRAD, alpha, 1.0)


def selu(input: Any, inplace: bool = False) -> Tensor:
    """``scale * elu(input, alpha)`` with the two constants of self-normalising networks.

    References
    ----------
    .. [1] G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.selu(nx.tensor([-1.0, 0.0, 1.0]))
    tensor([-1.1113,  0.    ,  1.0507])
    """
    return _activation("selu", input, Unary.ELU, Binary.ELU_GRAD, SELU_SCALE * SELU_ALPHA, SELU_SCALE)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` where positive, else ``alpha * (exp(input / alpha) - 1)``; an :class:`ArgumentError` for an ``alpha`` of 0.

    References
    ----------
    .. [1] J. T. Barron, "Continuously differentiable exponential linear units", arXiv:1704.07483, 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.celu(nx.tensor([-1.0, 0.0, 2.0]), alpha=0.5)
    tensor([-0.4323,  0.    ,  2.    ])
    """
    if alpha == 0:
        raise ArgumentError("celu: expected alpha other than 0, got 0; use relu")
    # PyTorch's gradient has alpha rounded to float32 in one place.
    return _activation("celu", input, Unary.CELU, Binary.CELU_GRAD, alpha, 1.0 / float(np.float32(alpha)))


def gelu(input: Any, approximate: str = "none") -> Tensor:
    """``input`` times the normal distribution function of it; ``approximate="tanh"`` for the older formula.

    Raises
    ------
    ArgumentError
        For another ``approximate``.

    References
    ----------
    .. [1] D. Hendrycks and K. Gimpel, "Gaussian error linear units", arXiv:1606.08415, 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.gelu(nx.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.    ,  0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f'gelu: expected approximate "none" or "tanh", got {approximate!r}; choose one of them')
    if approximate == "tanh":
        return _activation("gelu", input, Unary.GELU_TANH, Binary.GELU_TANH_GRAD)
    return _activation("gelu", input, Unary.GELU, Binary.GELU_GRAD)


def silu(input: Any, inplace: bool = False) -> Tensor:
    """``input * sigmoid(input)``.

    References
    ----------
    .. [1] S. Elfwing et al., "Sigmoid-weighted linear units for neural network function approximation", Neural Networks 107, 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.silu(nx.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.2689,  0.    ,  0.7311])
    """
    return _activation("silu", input, Unary.SILU, Binary.SILU_GRAD)


def mish(input: Any, inplace: bool = False) -> Tensor:
    """``input * tanh(softplus(input))``.

    References
    ----------
    .. [1] D. Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.mish(nx.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.3034,  0.    ,  0.8651])
    """
    return _activation("mish", input, Unary.MISH, Binary.MISH_GRAD)


def logsigmoid(input: Any) -> Tensor:
    """``log(sigmoid(input))``, exact for large negative inputs.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.logsigmoid(nx.tensor([0.0, -200.0]))
    tensor([  -0.6931, -200.    ])
    """
    return _activation("logsigmoid", input, Unary.LOG_SIGMOID, Binary.LOG_SIGMOID_GRAD)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * input)) / beta``; the input itself where ``beta * input`` is above ``threshold``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.softplus(nx.tensor([0.0, 1.0, 30.0]))
    tensor([ 0.6931,  1.3133, 30.    ])
    """
    return _activation("softplus", input, Unary.SOFTPLUS, Binary.SOFTPLUS_GRAD, beta, threshold)


def softsign(input: Any) -> Tensor:
    """``input / (1 + |input|)``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.softsign(nx.tensor([-1.0, 0.0, 3.0]))
    tensor([-0.5 ,  0.  ,  0.75])
    """
    return unary_with("softsign", input, Unary.SOFTSIGN, Binary.SOFTSIGN_GRAD)


def tanhshrink(input: Any) -> Tensor:
    """``input - tanh(input)``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.tanhshrink(nx.tensor([0.1, 1.0]))
    tensor([0.0003, 0.2384])
    """
    return unary_with("tanhshrink", input, Unary.TANHSHRINK, Binary.TANHSHRINK_GRAD)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` kept from ``min_val`` to ``max_val``; the gradient at a bound is 0. An :class:`ArgumentError` if they are reversed.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.hardtanh(nx.tensor([-3.0, 0.5, 2.0]))
    tensor([-1. ,  0.5,  1. ])
    """
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: expected min_val up to max_val, got {min_val} and {max_val}; swap them")
    if as_tensor(input).dtype.kind in "iu":
        return clamp(input, int(min_val), int(max_val))
    return _activation("hardtanh", input, Unary.CLAMP, Binary.INSIDE_GRAD, min_val, max_val)


def relu6(input: Any, inplace: bool = False) -> Tensor:
    """``input`` kept from 0 to 6; the gradient at a bound is 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.relu6(nx.tensor([-1.0, 3.0, 8.0]))
    tensor([0., 3., 6.])
    """
    if as_tensor(input).dtype.kind in "iu":
        return clamp(input, 0, 6)
    return _activation("relu6", input, Unary.CLAMP, Binary.INSIDE_GRAD, 0.0, 6.0)


def hardsigmoid(input: Any, inplace: bool = False) -> Tensor:
    """``(input + 3) / 6`` kept from 0 to 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.hardsigmoid(nx.tensor([-4.0, 0.0, 1.5]))
    tensor([0.  , 0.5 , 0.75])
    """
    # PyTorch's slope is one sixth rounded to float32.
    return _activation("hardsigmoid", input, Unary.HARDSIGMOID, Binary.HARDSIGMOID_GRAD, float(np.float32(1 / 6)))


def hardswish(input: Any, inplace: bool = False) -> Tensor:
    """``input * hardsigmoid(input)``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.hardswish(nx.tensor([-4.0, -1.0, 4.0]))
    tensor([-0.    , -0.3333,  4.    ])
    """
    return _activation("hardswish", input, Unary.HARDSWISH, Binary.HARDSWISH_GRAD)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``input`` where above ``threshold``, else ``value``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.threshold(nx.tensor([0.2, 0.7]), threshold=0.5, value=0.0)
    tensor([0. , 0.7])
    """
    return _activation("threshold", input, Unary.THRESHOLD, Binary.THRESHOLD_GRAD, threshold, value)


def hardshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """0 from ``-lambd`` to ``lambd``, else ``input``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.hardshrink(nx.tensor([-1.0, 0.3, 0.6]))
    tensor([-1. ,  0. ,  0.6])
    """
    return _activation("hardshrink", input, Unary.HARDSHRINK, Binary.SHRINK_GRAD, lambd)


def softshrink(input: Any, lambd: float = 0.5) -> Tensor:
    """``input`` moved towards 0 by ``lambd``, 0 between; an :class:`ArgumentError` if it is negative.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.softshrink(nx.tensor([-1.0, 0.3, 0.75]))
    tensor([-0.5 ,  0.  ,  0.25])
    """
    if lambd < 0:
        raise ArgumentError(f"softshrink: expected lambd of at least 0, got {lambd}; use its absolute value")
    return _activation("softshrink", input, Unary.SOFTSHRINK, Binary.SHRINK_GRAD, lambd)


def prelu(input: Any, weight: Any) -> Tensor:
    """``input`` where positive, else ``weight * input`` with one weight, shape (1,), or one a channel, (C,), along axis 1.

    Raises
    ------
    ShapeError
        If the weight has another shape or type.

    References
    ----------
    .. [1] K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> maps = nx.tensor([[[-1.0, 2.0], [-1.0, 2.0]]])  # N, C, L
    >>> nx.prelu(maps, nx.tensor([0.25, 0.5]))
    tensor([[[-0.25,  2.  ],
             [-0.5 ,  2.  ]]])
    """
    x, w = as_tensor(input), as_tensor(weight)
    floats_only("prelu", x)
    same_device("prelu", x._array, w._array)
    if w.dtype != x.dtype:
        raise ShapeError(f"prelu: expected a weight of type {x.dtype}, got {w.dtype}; convert it with .to({x.dtype})")
    channels = x.shape[1] if x.ndim > 1 else 1
    if w.ndim > 1 or w._array.size not in (1, channels):
        raise ShapeError(f"prelu: expected a weight of shape (1,) or ({channels},), got {w.shape}; give one a channel")
    shape = (w._array.size, *(1,) * max(x.ndim - 2, 0)) if w._array.size > 1 else (1,) * x.ndim
    a, b = x._array, w._array.reshape(shape)
    positive = ask(Question.GT, a, scalar(a, 0.0))
    needs = (x.requires_grad, w.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        gx = choose(positive, g, map2(Binary.MUL, g, b)) if needs[0] else None
        gw = choose(positive, scalar(a, 0.0), map2(Binary.MUL, g, a)) if needs[1] else None
        return gx, None if gw is None else sum_to(gw, b.shape).reshape(w.shape)

    return autograd.record("prelu", choose(positive, a, map2(Binary.MUL, a, b)), (x, w), vjp)


def glu(input: Any, dim: int = -1) -> Tensor:
    """The first half along ``dim`` times the sigmoid of the second; a :class:`ShapeError` if the size is odd.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.glu(nx.tensor([[3.0, 4.0, 0.0, 100.0]]))
    tensor([[1.5, 4. ]])
    """
    from neurenix.ops.arithmetic import mul
    from neurenix.ops.parts import split

    x = as_tensor(input)
    at = axis_of("glu", dim, x.ndim)
    if not x.ndim or x.shape[at] % 2:
        raise ShapeError(f"glu: expected an even size along dim {dim}, got shape {x.shape}; it is split in halves")
    first, second = split(x, [x.shape[at] // 2] * 2, at)
    return mul(first, sigmoid(second))
