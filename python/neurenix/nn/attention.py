"""Attention of several heads."""

from __future__ import annotations

import math
from typing import Any

from neurenix import ops
from neurenix._typing import DeviceLike, DTypeLike
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import init
from neurenix.nn.linear import Linear
from neurenix.nn.module import Module
from neurenix.nn.parameter import Parameter
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor, as_tensor


class MultiheadAttention(Module):
    """Attention between sequences, each head over a part of the features; PyTorch's arguments, masks and state names.

    Parameters
    ----------
    embed_dim, num_heads : int
        Features, and the heads that share them.
    dropout : float
        Probability that a weight is dropped in training.
    bias : bool
        Whether projections add trained numbers.
    add_bias_kv : bool
        Add a trained key and value to every sequence.
    add_zero_attn : bool
        Add a key and value of zeros.
    kdim, vdim : int, optional
        Features of keys and values, ``embed_dim`` where ``None``.
    batch_first : bool
        Whether batched inputs are (N, L, E) rather than (L, N, E).
    device, dtype
        Of the parameters; the default device and float32 where ``None``.

    Attributes
    ----------
    in_proj_weight : Parameter, shape (3 * embed_dim, embed_dim)
        Projections of queries, keys, values; with ``kdim`` or ``vdim`` instead ``q_proj_weight``, ``k_proj_weight``, ``v_proj_weight``.
    in_proj_bias : Parameter, shape (3 * embed_dim,), or None
    bias_k, bias_v : Parameter, shape (1, 1, embed_dim), or None
    out_proj : Linear

    Raises
    ------
    ArgumentError
        If a number is too small or heads do not divide the features.

    References
    ----------
    .. [1] A. Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.randn(2, 5, 8)  # (N, L, E)
    >>> attention = nx.nn.MultiheadAttention(8, 2, batch_first=True)
    >>> y, weights = attention(x, x, x)
    >>> y.shape, weights.shape, nx.allclose(weights.sum(-1), nx.ones(2, 5))
    ((2, 5, 8), (2, 5, 5), True)
    >>> later = nx.ones(5, 5).triu(1).bool()  # True where a query may not look
    >>> attention(x, x, x, attn_mask=later)[1][0, 0].tolist()  # the first one sees itself only
    [1.0, 0.0, 0.0, 0.0, 0.0]
    """

    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        name = "MultiheadAttention"
        self.embed_dim, self.num_heads = e, heads = integer(name, "embed_dim", embed_dim, 1), integer(name, "num_heads", num_heads, 1)
        self.kdim, self.vdim = (e if n is None else integer(name, "kdim and vdim", n, 1) for n in (kdim, vdim))
        if e % heads:
            raise ArgumentError(f"{name}: expected num_heads that divide embed_dim={e}, got {heads}; pass a divisor")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0.0 <= dropout <= 1.0:
            raise ArgumentError(f"{name}: expected a probability dropout in [0, 1], got {dropout!r}; pass e.g. dropout=0.1")
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn

        def made(*shape: int) -> Parameter:
            return Parameter(Tensor(shape=shape, dtype=dtype, device=device))

        self._joint = self.kdim == self.vdim == e
        if self._joint:
            self.in_proj_weight = made(3 * e, e)
        else:
            for letter, size in zip("qkv", (e, self.kdim, self.vdim), strict=True):
                setattr(self, f"{letter}_proj_weight", made(e, size))
        self.in_proj_bias = made(3 * e) if bias else None
        self.bias_k = made(1, 1, e) if add_bias_kv else None
        self.bias_v = made(1, 1, e) if add_bias_kv else None
        self.out_proj = Linear(e, e, bias, device, dtype)
        self._start()

    def _start(self) -> None:
        """PyTorch's first values: Xavier's, biases zero."""
        for weight in [self.in_proj_weight] if self._joint else [getattr(self, f"{letter}_proj_weight") for letter in "qkv"]:
            init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def _projected(self, letter: int, x: Tensor) -> Tensor:
        """Queries, keys or values (N, L, E)."""
        e = self.embed_dim
        part = slice(letter * e, (letter + 1) * e)
        weight = self.in_proj_weight[part] if self._joint else getattr(self, f"{'qkv'[letter]}_proj_weight")
        return ops.linear(x, weight, None if self.in_proj_bias is None else self.in_proj_bias[part])

    def _heads(self, x: Tensor) -> Tensor:
        """(N, L, E) as (N, heads, L, E / heads)."""
        n, length, e = x.shape
        return ops.transpose(ops.reshape(x, (n, length, self.num_heads, e // self.num_heads)), 1, 2)

    def _lengthened(self, x: Tensor, extra: Parameter | None) -> Tensor:
        """Keys or values with the trained one and the zeros behind them, by heads."""
        n, _, e = x.shape
        if extra is not None:
            x = ops.cat([x, ops.expand(extra, (n, 1, e))], 1)
        if self.add_zero_attn:
            x = ops.cat([x, ops.zeros(n, 1, e, dtype=x.dtype, device=x.device)], 1)
        return self._heads(x)

    def _mask(self, mask: Any, like: Tensor, shape: tuple[int, ...], behind: int) -> Tensor:
        """A mask as numbers to add, of four axes, nothing for the ``behind`` keys that were added."""
        mask = as_tensor(mask, like)
        mask = ops.reshape(mask, (-1, self.num_heads, *mask.shape[1:]) if mask.ndim == 3 else shape)
        if mask.dtype == "bool":
            mask = ops.masked_fill(ops.zeros(*mask.shape, dtype=like.dtype, device=like.device), mask, -math.inf)
        return ops.pad(mask, (0, behind)) if behind else mask

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend.

        Parameters
        ----------
        query, key, value : Tensor, shapes (L, N, E), (S, N, kdim), (S, N, vdim), or without N
            With ``batch_first`` N comes first.
        key_padding_mask : Tensor, shape (N, S) or (S,), optional
            Bools that say which keys are left out, or numbers that are added.
        need_weights : bool
            Whether to give the weights as well.
        attn_mask : Tensor, shape (L, S) or (N * heads, L, S), optional
            The same, a query and key.
        average_attn_weights : bool
            Whether weights are the heads' mean.
        is_causal : bool
            Says that ``attn_mask`` is causal; it must be given, as in PyTorch.

        Returns
        -------
        Tensor, shape of ``query`` with embed_dim features, and the weights (N, L, S) or (N, heads, L, S), or None
        """
        tensors = [as_tensor(t) for t in (query, key, value)]
        batched = tensors[0].ndim == 3
        if tensors[0].ndim not in (2, 3) or any(t.ndim != tensors[0].ndim for t in tensors):
            shapes = ", ".join(str(t.shape) for t in tensors)
            raise ShapeError(f"MultiheadAttention: expected query, key and value with 3 axes, or 2 each, got {shapes}; reshape them")
        if is_causal and attn_mask is None:
            raise ArgumentError("MultiheadAttention: expected attn_mask with is_causal=True, got none; pass the triangle as attn_mask")
        if not batched:
            tensors = [ops.unsqueeze(t, 0) for t in tensors]
        elif not self.batch_first:
            tensors = [ops.transpose(t, 0, 1) for t in tensors]
        y, weights = self._attend(tensors, key_padding_mask, attn_mask)
        y = self.out_proj(y)
        y = ops.squeeze(y, 0) if not batched else y if self.batch_first else ops.transpose(y, 0, 1)
        if not need_weights:
            return y, None
        weights = ops.mean(weights, 1) if average_attn_weights else weights
        return y, weights if batched else ops.squeeze(weights, 0)

    def _attend(self, tensors: list[Tensor], key_padding_mask: Any, attn_mask: Any) -> tuple[Tensor, Tensor]:
        q, k, v = (self._projected(i, t) for i, t in enumerate(tensors))
        n, length, e = q.shape
        behind = (self.bias_k is not None) + self.add_zero_attn
        scores = ops.matmul(self._heads(q) * math.sqrt(self.num_heads / e), ops.transpose(self._lengthened(k, self.bias_k), -2, -1))
        if attn_mask is not None:
            scores = scores + self._mask(attn_mask, q, (1, 1, length, k.shape[1]), behind)
        if key_padding_mask is not None:
            scores = scores + self._mask(key_padding_mask, q, (n, 1, 1, k.shape[1]), behind)
        weights = ops.dropout(ops.softmax(scores, -1), self.dropout, self.training)
        y = ops.matmul(weights, self._lengthened(v, self.bias_v))
        return ops.reshape(ops.transpose(y, 1, 2), (n, length, e)), weights
