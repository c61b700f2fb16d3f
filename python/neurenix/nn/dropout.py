"""Dropout layers."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix.errors import ArgumentError
from neurenix.nn.module import Module
from neurenix.tensor import Tensor


class Dropout(Module):
    """Set elements to zero at random while training, see :func:`neurenix.nn.functional.dropout`.

    Parameters
    ----------
    p : float
        Probability of zero, 0 to 1.
    inplace : bool
        Accepted for PyTorch's sake; the result is a new tensor either way.

    Raises
    ------
    ArgumentError
        If ``p`` is not a probability.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Dropout(0.5).eval()(nx.tensor([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0.0 <= p <= 1.0:
            raise ArgumentError(f"{type(self).__name__}: expected a probability p in [0, 1], got {p!r}; pass e.g. p=0.5")
        self.p, self.inplace = p, inplace

    def forward(self, input: Any) -> Tensor:
        """Drop elements while training."""
        return ops.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """The settings."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout2d(Dropout):
    """Set whole channels of (N, C, H, W) to zero at random while training, see :class:`Dropout`."""

    def forward(self, input: Any) -> Tensor:
        """Drop channels while training."""
        return ops.dropout2d(input, self.p, self.training)


class Dropout1d(Dropout):
    """Set whole channels of (N, C, L) or (C, L) to zero at random while training, see :class:`Dropout`."""

    def forward(self, input: Any) -> Tensor:
        """Drop channels while training."""
        return ops.dropout1d(input, self.p, self.training)


class Dropout3d(Dropout):
    """Set whole channels of (N, C, D, H, W) or (C, D, H, W) to zero at random while training, see :class:`Dropout`."""

    def forward(self, input: Any) -> Tensor:
        """Drop channels while training."""
        return ops.dropout3d(input, self.p, self.training)


class FeatureAlphaDropout(Dropout):
    """:class:`AlphaDropout` of whole channels of (N, C, ...)."""

    def forward(self, input: Any) -> Tensor:
        """Drop channels while training."""
        return ops.feature_alpha_dropout(input, self.p, self.training)


class AlphaDropout(Dropout):
    """Dropout for networks of SELU that keeps mean and variance, see :func:`neurenix.nn.functional.alpha_dropout`."""

    def forward(self, input: Any) -> Tensor:
        """Drop elements while training."""
        return ops.alpha_dropout(input, self.p, self.training)
