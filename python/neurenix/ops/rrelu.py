"""A leaky ReLU whose slopes are drawn."""

from __future__ import annotations

from typing import Any

from neurenix import random
from neurenix.errors import ArgumentError
from neurenix.ops._arguments import floats
from neurenix.ops.activation import leaky_relu
from neurenix.ops.arithmetic import mul
from neurenix.ops.compare import gt
from neurenix.ops.layouts import where
from neurenix.tensor import Tensor


def rrelu(input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False) -> Tensor:
    """``x`` where it is positive, else ``slope * x``: a slope of its own for each element in training, their mean otherwise.

    Parameters
    ----------
    input : Tensor
        Any shape, float32 or float64.
    lower, upper : float
        Slopes are uniform between them.
    training : bool
        Whether slopes are drawn.
    inplace : bool
        Accepted for PyTorch's sake; the result is a new tensor either way.

    Returns
    -------
    Tensor, shape and dtype of ``input``

    Raises
    ------
    ArgumentError
        If ``lower`` is above ``upper``.

    References
    ----------
    .. [1] B. Xu et al., "Empirical evaluation of rectified activations in convolution network", 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.rrelu(nx.tensor([-1.0, 2.0]), 0.25, 0.75).tolist()
    [-0.5, 2.0]
    """
    x = floats("rrelu", input)
    if not lower <= upper:
        raise ArgumentError(f"rrelu: expected lower <= upper, got {lower!r} and {upper!r}; exchange them")
    if not training:
        return leaky_relu(x, (lower + upper) / 2)
    slopes = random.rand(*x.shape, dtype=x.dtype, device=x.device)
    drawn: Tensor = where(gt(x, 0), x, mul(x, slopes * (upper - lower) + lower))
    return drawn
