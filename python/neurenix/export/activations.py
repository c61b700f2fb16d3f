"""How activations become operators of ONNX."""

from __future__ import annotations

import math
from typing import Any

from neurenix import nn
from neurenix.export.functions import reduced, softmax
from neurenix.export.graph import Graph, Value, rule
from neurenix.export.sampling import where

_PLAIN = {
    nn.ReLU: "Relu",
    nn.SELU: "Selu",
    nn.Mish: "Mish",
    nn.Sigmoid: "Sigmoid",
    nn.Tanh: "Tanh",
    nn.Softsign: "Softsign",
    nn.Hardswish: "HardSwish",
}


@rule(*_PLAIN)
def _plain(g: Graph, m: Any, x: Value) -> Value:
    return g.node(next(op for kind, op in _PLAIN.items() if isinstance(m, kind)), x)


@rule(nn.SiLU)
def silu(g: Graph, _: Any, x: Value) -> Value:
    """``x * sigmoid(x)``."""
    return x * g.node("Sigmoid", x)


@rule(nn.GELU)
def _gelu(g: Graph, m: Any, x: Value) -> Value:
    if m.approximate == "tanh":
        inner = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
        return x * (g.node("Tanh", inner) + 1.0) * 0.5
    return x * (g.node("Erf", x * math.sqrt(0.5)) + 1.0) * 0.5


@rule(nn.LogSigmoid)
def _log_sigmoid(g: Graph, _: Any, x: Value) -> Value:
    return g.node("Neg", g.node("Softplus", g.node("Neg", x)))


@rule(nn.LeakyReLU)
def _leaky_relu(g: Graph, m: Any, x: Value) -> Value:
    return g.node("LeakyRelu", x, alpha=float(m.negative_slope))


@rule(nn.RReLU)
def _rrelu(g: Graph, m: Any, x: Value) -> Value:
    return g.node("LeakyRelu", x, alpha=(m.lower + m.upper) / 2)


@rule(nn.PReLU)
def _prelu(g: Graph, m: Any, x: Value) -> Value:
    weight = g.weight(m.weight)
    if x.rank > 2:
        weight = g.node("Reshape", weight, g.constant([-1] + [1] * (x.rank - 2)), rank=x.rank - 1)
    return g.node("PRelu", x, weight, rank=x.rank)


@rule(nn.ELU)
def _elu(g: Graph, m: Any, x: Value) -> Value:
    return g.node("Elu", x, alpha=float(m.alpha))


@rule(nn.CELU)
def _celu(g: Graph, m: Any, x: Value) -> Value:
    return g.node("Celu", x, alpha=float(m.alpha))


@rule(nn.Softplus)
def _softplus(g: Graph, m: Any, x: Value) -> Value:
    scaled = x * float(m.beta)
    return where(scaled.ask("Greater", float(m.threshold)), x, g.node("Softplus", scaled) / float(m.beta))


@rule(nn.ReLU6)
def _relu6(_: Graph, __: Any, x: Value) -> Value:
    return x.at_least(0.0).at_most(6.0)


@rule(nn.Hardtanh)
def _hardtanh(_: Graph, m: Any, x: Value) -> Value:
    return x.at_least(float(m.min_val)).at_most(float(m.max_val))


@rule(nn.Hardsigmoid)
def _hardsigmoid(_: Graph, __: Any, x: Value) -> Value:
    return (x + 3.0).at_least(0.0).at_most(6.0) / 6.0


@rule(nn.Tanhshrink)
def _tanhshrink(g: Graph, _: Any, x: Value) -> Value:
    return x - g.node("Tanh", x)


@rule(nn.Threshold)
def _threshold(_: Graph, m: Any, x: Value) -> Value:
    return where(x.ask("Greater", float(m.threshold)), x, float(m.value))


@rule(nn.Hardshrink)
def _hardshrink(g: Graph, m: Any, x: Value) -> Value:
    return g.node("Shrink", x, lambd=float(m.lambd), bias=0.0)


@rule(nn.Softshrink)
def _softshrink(g: Graph, m: Any, x: Value) -> Value:
    return g.node("Shrink", x, lambd=float(m.lambd), bias=float(m.lambd))


def _axis(m: Any, x: Value) -> int:
    return int(m.dim) if m.dim is not None else 0 if x.rank in (0, 1, 3) else 1


@rule(nn.Softmax)
def _softmax(_: Graph, m: Any, x: Value) -> Value:
    return softmax(x, _axis(m, x))


@rule(nn.Softmax2d)
def _softmax2d(_: Graph, __: Any, x: Value) -> Value:
    return softmax(x, -3)


@rule(nn.Softmin)
def _softmin(g: Graph, m: Any, x: Value) -> Value:
    return softmax(g.node("Neg", x), _axis(m, x))


@rule(nn.LogSoftmax)
def _log_softmax(g: Graph, m: Any, x: Value) -> Value:
    return g.node("LogSoftmax", x, axis=_axis(m, x))


@rule(nn.GLU)
def _glu(g: Graph, m: Any, x: Value) -> Value:
    a, b = g.many("Split", x, axis=int(m.dim), num_outputs=2, outputs=2)
    return a * g.node("Sigmoid", b)


@rule(nn.CosineSimilarity)
def _cosine(g: Graph, m: Any, a: Value, b: Value) -> Value:
    axis = [m.dim]
    lengths = [g.node("Sqrt", reduced(v * v, "Sum", axis, False)).at_least(float(m.eps)) for v in (a, b)]
    return reduced(a * b, "Sum", axis, False) / (lengths[0] * lengths[1])
