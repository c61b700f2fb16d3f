"""Activation layers; ``inplace`` is accepted and ignored, the result is a new tensor."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix._typing import DTypeLike
from neurenix.errors import ArgumentError
from neurenix.nn._elementwise import Elementwise, InPlace
from neurenix.nn.module import Module
from neurenix.nn.parameter import Parameter
from neurenix.tensor import Tensor


class ReLU(InPlace):
    """``max(x, 0)``; the gradient at 0 is 0.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ReLU()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """

    _function = staticmethod(ops.relu)


class SELU(InPlace):
    """Scaled ELU, ``scale * x`` where positive, else ``scale * alpha * (exp(x) - 1)``: mean 0 and variance 1 stay through many layers.

    ``alpha`` is 1.6733 and ``scale`` 1.0507; for weights drawn with ``kaiming_normal_(nonlinearity="linear")``.

    References
    ----------
    .. [1] G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.SELU()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.1113,  0.    ,  2.1014])
    """

    _function = staticmethod(ops.selu)


class SiLU(InPlace):
    """``x * sigmoid(x)``, also called swish.

    References
    ----------
    .. [1] S. Elfwing et al., "Sigmoid-weighted linear units for neural network function approximation in reinforcement learning", Neural
       Networks 107, 2018.
    .. [2] P. Ramachandran et al., "Searching for activation functions", arXiv:1710.05941, 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.SiLU()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.2689,  0.    ,  1.7616])
    """

    _function = staticmethod(ops.silu)


class Mish(InPlace):
    """``x * tanh(softplus(x))``.

    References
    ----------
    .. [1] D. Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Mish()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.3034,  0.    ,  1.944 ])
    """

    _function = staticmethod(ops.mish)


class Sigmoid(Elementwise):
    """``1 / (1 + exp(-x))``; the result carries its logits, so that a log loss of it is stable.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Sigmoid()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([0.2689, 0.5   , 0.8808])
    """

    _function = staticmethod(ops.sigmoid)


class Tanh(Elementwise):
    """Hyperbolic tangent.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Tanh()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.7616,  0.    ,  0.964 ])
    """

    _function = staticmethod(ops.tanh)


class LogSigmoid(Elementwise):
    """``log(sigmoid(x))``, finite for every x: it goes over to ``x`` where sigmoid would underflow.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.LogSigmoid()(nx.tensor([-20.0, 0.0, 2.0]))
    tensor([-20.    ,  -0.6931,  -0.1269])
    """

    _function = staticmethod(ops.logsigmoid)


class Softsign(Elementwise):
    """``x / (1 + |x|)``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Softsign()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.5   ,  0.    ,  0.6667])
    """

    _function = staticmethod(ops.softsign)


class LeakyReLU(InPlace):
    """``x`` where positive, else ``negative_slope * x``.

    Parameters
    ----------
    negative_slope : float
    inplace : bool
        Accepted for PyTorch's sake; the result is a new tensor either way.

    References
    ----------
    .. [1] A. Maas et al., "Rectifier nonlinearities improve neural network acoustic models", ICML 2013.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.LeakyReLU()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.01,  0.  ,  2.  ])
    """

    _shown = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Apply it to every element."""
        return ops.leaky_relu(input, self.negative_slope)


class ELU(InPlace):
    """``x`` where positive, else ``alpha * (exp(x) - 1)``.

    Parameters
    ----------
    alpha : float
        Minus the value that it goes to far below 0.
    inplace : bool
        Accepted for PyTorch's sake; the result is a new tensor either way.

    References
    ----------
    .. [1] D.-A. Clevert et al., "Fast and accurate deep network learning by exponential linear units (ELUs)", ICLR 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ELU()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.6321,  0.    ,  2.    ])
    """

    _shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Apply it to every element."""
        return ops.elu(input, self.alpha)


class CELU(InPlace):
    """``x`` where positive, else ``alpha * (exp(x / alpha) - 1)``, smooth at 0 for every ``alpha``.

    Raises
    ------
    ArgumentError
        If ``alpha`` is 0.

    References
    ----------
    .. [1] J. Barron, "Continuously differentiable exponential linear units", arXiv:1704.07483, 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.CELU()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.6321,  0.    ,  2.    ])
    """

    _shown = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        if alpha == 0:
            raise ArgumentError("CELU: expected alpha other than 0, got 0; use ReLU")
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Apply it to every element."""
        return ops.celu(input, self.alpha)


class Softplus(Module):
    """``log(1 + exp(beta * x)) / beta``, ``x`` itself where ``beta * x`` is above ``threshold``: a smooth ReLU, above 0 everywhere.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Softplus()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([0.3133, 0.6931, 2.1269])
    """

    _shown = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Any) -> Tensor:
        """Apply it to every element."""
        return ops.softplus(input, self.beta, self.threshold)


class GELU(Module):
    """``x`` times the normal distribution function; ``approximate`` is "none" or "tanh".

    Raises
    ------
    ArgumentError
        If ``approximate`` is neither.

    References
    ----------
    .. [1] D. Hendrycks and K. Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415, 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.GELU()(nx.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.1587,  0.    ,  1.9545])
    """

    _shown = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ArgumentError(f'GELU: expected approximate "none" or "tanh", got {approximate!r}; choose one of them')
        self.approximate = approximate

    def forward(self, input: Any) -> Tensor:
        """Apply it to every element."""
        return ops.gelu(input, self.approximate)


class PReLU(Module):
    """``x`` where positive, else ``weight * x`` with one learned weight, or one a channel.

    Parameters
    ----------
    num_parameters : int
        1, or the number of channels.
    init : float
        The weights' first value.
    device, dtype : str, numpy dtype, optional
        Of the weight.

    Raises
    ------
    ArgumentError
        If ``num_parameters`` is not an integer of at least 1.

    References
    ----------
    .. [1] K. He et al., "Delving deep into rectifiers: surpassing human-level performance on ImageNet classification", ICCV 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.PReLU(2)  # a slope for each of 2 channels
    >>> _ = layer.weight.assign_([0.5, 0.25])
    >>> layer(nx.tensor([[-4.0, -4.0], [4.0, 4.0]])).tolist()
    [[-2.0, -1.0], [4.0, 4.0]]
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: str | None = None, dtype: DTypeLike | None = None) -> None:
        if isinstance(num_parameters, bool) or not isinstance(num_parameters, int) or num_parameters < 1:
            raise ArgumentError(f"PReLU: expected num_parameters to be an integer of at least 1, got {num_parameters!r}; pass the channels")
        self.weight = Parameter(ops.full((num_parameters,), float(init), dtype=dtype, device=device))

    def forward(self, input: Any) -> Tensor:
        """Apply it to every element."""
        return ops.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of slopes."""
        return f"num_parameters={self.weight.shape[0]}"


class RReLU(InPlace):
    """``x`` where positive, else a slope times ``x``, drawn for each element in training, see :func:`neurenix.nn.functional.rrelu`.

    Parameters
    ----------
    lower, upper : float
        Slopes are uniform between them; evaluation takes their mean.
    inplace : bool

    Raises
    ------
    ArgumentError
        If ``lower`` is above ``upper``.

    References
    ----------
    .. [1] B. Xu et al., "Empirical evaluation of rectified activations in convolutional network", arXiv:1505.00853, 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.RReLU(0.25, 0.75).eval()(nx.tensor([-1.0, 2.0]))
    tensor([-0.5,  2. ])
    """

    _shown = ("lower", "upper")

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        if not lower <= upper:
            raise ArgumentError(f"RReLU: expected lower <= upper, got {lower!r} and {upper!r}; exchange them")
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Any) -> Tensor:
        """Apply it to every element."""
        return ops.rrelu(input, self.lower, self.upper, self.training)
