"""Activation layers made of straight pieces, and those that shrink towards zero; ``inplace`` is accepted and ignored."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix.errors import ArgumentError
from neurenix.nn._elementwise import Elementwise, InPlace
from neurenix.nn.module import Module
from neurenix.tensor import Tensor


class ReLU6(InPlace):
    """The input kept from 0 to 6: what few bits can hold.

    References
    ----------
    .. [1] A. Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", arXiv:1704.04861, 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ReLU6()(nx.tensor([-1.0, 2.0, 8.0]))
    tensor([0., 2., 6.])
    """

    _function = staticmethod(ops.relu6)


class Hardswish(InPlace):
    """``x * hardsigmoid(x)``: :class:`SiLU` in straight pieces.

    References
    ----------
    .. [1] A. Howard et al., "Searching for MobileNetV3", ICCV 2019.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Hardswish()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.3333,  0.    ,  1.6667])
    """

    _function = staticmethod(ops.hardswish)


class Hardsigmoid(InPlace):
    """``(x + 3) / 6`` kept from 0 to 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Hardsigmoid()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([0.3333, 0.5   , 0.8333])
    """

    _function = staticmethod(ops.hardsigmoid)


class Tanhshrink(Elementwise):
    """``x - tanh(x)``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Tanhshrink()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.2384,  0.    ,  1.036 ])
    """

    _function = staticmethod(ops.tanhshrink)


class Hardtanh(InPlace):
    """The input kept from ``min_val`` to ``max_val``.

    Raises
    ------
    ArgumentError
        If ``min_val`` is above ``max_val``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Hardtanh()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """

    _shown = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        if min_val > max_val:
            raise ArgumentError(f"Hardtanh: expected min_val up to max_val, got {min_val} and {max_val}; swap them")
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Apply it to every element."""
        return ops.hardtanh(input, self.min_val, self.max_val)


class Threshold(InPlace):
    """``x`` where above ``threshold``, else ``value``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Threshold(0.0, 0.5)(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([0.5, 0.5, 2. ])
    """

    _shown = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Apply it to every element."""
        return ops.threshold(input, self.threshold, self.value)


class Hardshrink(Module):
    """0 from ``-lambd`` to ``lambd``, else ``x``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Hardshrink(0.5)(nx.tensor([-1.0, 0.25, 2.0]))
    tensor([-1.,  0.,  2.])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd

    def forward(self, input: Any) -> Tensor:
        """Apply it to every element."""
        return ops.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """The threshold."""
        return f"{self.lambd}"


class Softshrink(Module):
    """``x`` moved towards 0 by ``lambd``, 0 where it is nearer than that.

    Raises
    ------
    ArgumentError
        If ``lambd`` is negative.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Softshrink(0.5)(nx.tensor([-1.0, 0.25, 2.0]))
    tensor([-0.5,  0. ,  1.5])
    """

    def __init__(self, lambd: float = 0.5) -> None:
        if lambd < 0:
            raise ArgumentError(f"Softshrink: expected lambd of at least 0, got {lambd}; use its absolute value")
        self.lambd = lambd

    def forward(self, input: Any) -> Tensor:
        """Apply it to every element."""
        return ops.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """The threshold."""
        return f"{self.lambd}"
