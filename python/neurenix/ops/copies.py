"""The same elements in new memory."""

from __future__ import annotations

from typing import Any

from neurenix import layout
from neurenix.ops.shape import viewed
from neurenix.tensor import Tensor, as_tensor


def contiguous(input: Any) -> Tensor:
    """Dense in C order: the input itself where it is so already, else a copy.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.zeros(2, 3).t()
    >>> x.is_contiguous(), nx.contiguous(x).is_contiguous()
    (False, True)
    """
    x = as_tensor(input)
    if x._array.flags.c_contiguous:
        return x
    return viewed("contiguous", x, layout.contiguous, lambda g: g, lambda d: d)


def clone(input: Any) -> Tensor:
    """A copy in the input's memory order; gradients flow through it.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([1.0, 2.0], requires_grad=True)
    >>> (nx.clone(x) * 3).sum().backward()
    >>> x.grad
    tensor([3., 3.])
    """
    return viewed("clone", as_tensor(input), layout.copy, lambda g: g, lambda d: d)
