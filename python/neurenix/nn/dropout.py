"""Dropout layers."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix.errors import ArgumentError
from neurenix.nn.module import Module
from neurenix.tensor import Tensor


class Dropout(Module):
    """Set elements to zero at random while training, and divide the others by ``1 - p``; see :func:`neurenix.nn.functional.dropout`.

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

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer, x = nx.nn.Dropout(0.5), nx.ones(1000)
    >>> sorted(set(layer(x).tolist()))  # dropped, and doubled, so that the mean stays
    [0.0, 2.0]
    >>> layer.eval()(x).tolist() == x.tolist()
    True
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
    """Set whole channels of (N, C, H, W) to zero at random while training, see :class:`Dropout`; neighbouring pixels say too much of each other.

    References
    ----------
    .. [1] J. Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> y = nx.nn.Dropout2d(0.5)(nx.ones(2, 8, 4, 4))
    >>> nx.equal(y.amax((2, 3)), y.amin((2, 3)))  # a channel is dropped as a whole or not at all
    True
    """

    def forward(self, input: Any) -> Tensor:
        """Drop channels while training."""
        return ops.dropout2d(input, self.p, self.training)


class Dropout1d(Dropout):
    """Set whole channels of (N, C, L) or (C, L) to zero at random while training, see :class:`Dropout`.

    Examples
    --------
    >>> import neurenix as nx
    >>> y = nx.nn.Dropout1d(0.5)(nx.ones(1, 8, 5))
    >>> nx.equal(y.amax(-1), y.amin(-1))  # a channel is dropped as a whole or not at all
    True
    """

    def forward(self, input: Any) -> Tensor:
        """Drop channels while training."""
        return ops.dropout1d(input, self.p, self.training)


class Dropout3d(Dropout):
    """Set whole channels of (N, C, D, H, W) or (C, D, H, W) to zero at random while training, see :class:`Dropout`.

    Examples
    --------
    >>> import neurenix as nx
    >>> y = nx.nn.Dropout3d(0.5)(nx.ones(8, 2, 4, 4))
    >>> set(y.amax((1, 2, 3)).tolist()) <= {0.0, 2.0}, nx.equal(y.amax((1, 2, 3)), y.amin((1, 2, 3)))
    (True, True)
    """

    def forward(self, input: Any) -> Tensor:
        """Drop channels while training."""
        return ops.dropout3d(input, self.p, self.training)


class FeatureAlphaDropout(Dropout):
    """:class:`AlphaDropout` of whole channels of (N, C, ...).

    Examples
    --------
    >>> import neurenix as nx
    >>> y = nx.nn.FeatureAlphaDropout(0.5)(nx.ones(2, 8, 4, 4))
    >>> nx.equal(y.amax((2, 3)), y.amin((2, 3)))  # a channel is dropped as a whole or not at all
    True
    """

    def forward(self, input: Any) -> Tensor:
        """Drop channels while training."""
        return ops.feature_alpha_dropout(input, self.p, self.training)


class AlphaDropout(Dropout):
    """Dropout for networks of SELU: dropped elements get SELU's lower bound, then mean and variance are brought back.

    See :func:`neurenix.nn.functional.alpha_dropout`.

    References
    ----------
    .. [1] G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> y = nx.nn.AlphaDropout(0.5)(nx.randn(100000))
    >>> round(abs(y.mean().item()), 1), round(y.std().item(), 1)
    (0.0, 1.0)
    """

    def forward(self, input: Any) -> Tensor:
        """Drop elements while training."""
        return ops.alpha_dropout(input, self.p, self.training)
