"""Attention, and the bilinear form of two inputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurenix import backend
from neurenix.errors import ArgumentError, ShapeError
from neurenix.ops.arithmetic import add, mul
from neurenix.ops.compare import eq
from neurenix.ops.einsum import einsum
from neurenix.ops.layouts import repeat_interleave, where
from neurenix.ops.matmul import matmul
from neurenix.ops.reduce import amax
from neurenix.ops.shape import reshape, transpose
from neurenix.ops.softmax import softmax
from neurenix.tensor import Tensor, as_tensor


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key^T * scale + mask) @ value``.

    Parameters
    ----------
    query, key, value : Tensor, shapes (..., L, E), (..., S, E), (..., S, V)
    attn_mask : Tensor, optional
        Bools that say what takes part, or floats that are added; who sees nothing gets zeros.
    dropout_p : float
        Must be 0: drop elements with ``dropout`` outside.
    is_causal : bool
        A position sees itself and what is before it.
    scale : float, optional
        ``1 / sqrt(E)`` unless given.
    enable_gqa : bool
        Keys and values have fewer heads (axis -3), each shared by a group of queries.

    Raises
    ------
    ArgumentError
        For a mask together with ``is_causal``, or dropout.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> query, key, value = nx.zeros(1, 2, 4), nx.zeros(1, 2, 4), nx.tensor([[[2.0], [4.0]]])
    >>> nx.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    tensor([[[2.],
             [3.]]])
    """
    q, k, v = as_tensor(query), as_tensor(key), as_tensor(value)
    if dropout_p:
        raise ArgumentError(f"scaled_dot_product_attention: expected dropout_p=0, got {dropout_p}; apply dropout to the result")
    if is_causal and attn_mask is not None:
        raise ArgumentError("scaled_dot_product_attention: expected a mask or is_causal, got both; put the triangle into the mask")
    if enable_gqa and k.shape[-3] != q.shape[-3]:
        k, v = (repeat_interleave(t, q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    factor = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = matmul(mul(q, factor), transpose(k, -2, -1))
    if is_causal:
        attn_mask = Tensor._wrap(backend.to_device(np.tri(scores.shape[-2], scores.shape[-1], dtype=np.bool_), q.device))
    if attn_mask is not None:
        mask = as_tensor(attn_mask)
        scores = where(mask, scores, -math.inf) if mask.dtype == np.bool_ else add(scores, mask)
        if scores.shape[-1]:  # who sees nothing attends to nothing
            blind = eq(amax(scores.detach(), -1, True), -math.inf)
            return matmul(where(blind, 0.0, softmax(where(blind, 0.0, scores), -1)), v)
    return matmul(softmax(scores, -1), v)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """``input1^T weight[o] input2 + bias[o]`` for every output o: (..., I), (..., J), (O, I, J) give (..., O).

    Raises
    ------
    ShapeError
        If sizes do not fit.

    Examples
    --------
    >>> import neurenix as nx
    >>> x, y = nx.tensor([[1.0, 2.0]]), nx.tensor([[3.0, 4.0]])
    >>> nx.nn.functional.bilinear(x, y, nx.ones(1, 2, 2)).item()
    21.0
    """
    x, y, w = as_tensor(input1), as_tensor(input2), as_tensor(weight)
    if w.ndim != 3 or x.shape[:-1] != y.shape[:-1] or x.shape[-1:] != w.shape[1:2] or y.shape[-1:] != w.shape[2:]:
        raise ShapeError(f"bilinear: expected (*, I), (*, J) and a weight (O, I, J), got {x.shape}, {y.shape} and {w.shape}; reshape them")
    lead = x.shape[:-1]
    rows = math.prod(lead)
    a, b = reshape(x, (rows, x.shape[-1])), reshape(y, (rows, y.shape[-1]))
    partial = einsum("ni,oij->noj", a, w)
    out = reshape(einsum("noj,nj->no", partial, b), (*lead, w.shape[0]))
    return out if bias is None else add(out, bias)
