"""Layers that compare two inputs vector by vector."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix.nn.module import Module
from neurenix.tensor import Tensor


class _Quiet(Module):
    def extra_repr(self) -> str:
        """Nothing, as PyTorch's."""
        return ""


class PairwiseDistance(_Quiet):
    """The p-norm of ``x1 - x2 + eps`` along the last axis, see :func:`neurenix.nn.functional.pairwise_distance`.

    Parameters
    ----------
    p : float
        The norm's order.
    eps : float
        Added to every difference: the gradient exists where they are equal.
    keepdim : bool
        Whether the last axis stays, with size 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.PairwiseDistance(eps=0.0)(nx.tensor([[0.0, 0.0]]), nx.tensor([[3.0, 4.0]])).tolist()
    [5.0]
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Any, x2: Any) -> Tensor:
        """The distances."""
        return ops.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(_Quiet):
    """The cosine of the angle between vectors along ``dim``, see :func:`neurenix.nn.functional.cosine_similarity`.

    Parameters
    ----------
    dim : int
    eps : float
        The least norm that is divided by.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.CosineSimilarity()(nx.tensor([[1.0, 0.0]]), nx.tensor([[0.0, 2.0]])).tolist()
    [0.0]
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self.dim, self.eps = dim, eps

    def forward(self, x1: Any, x2: Any) -> Tensor:
        """The cosines."""
        return ops.cosine_similarity(x1, x2, self.dim, self.eps)
