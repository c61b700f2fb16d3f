"""Initial weights under PyTorch's names and formulas, drawn by :mod:`neurenix.random` on the CPU for every device.

Each function overwrites a leaf tensor and returns it.
"""

from __future__ import annotations

import math

from neurenix import lazy, random
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.generators import Generator
from neurenix.tensor import Tensor

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}
_GAINS |= {f"conv{'_transpose' if t else ''}{d}d": 1.0 for t in (False, True) for d in (1, 2, 3)}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through a nonlinearity.

    Parameters
    ----------
    nonlinearity : {"linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"}, or a convolution's name such as "conv2d"
    param : float, optional
        Slope of "leaky_relu" below 0, 0.01 by default.

    Raises
    ------
    ArgumentError
        For another name, or a slope that is no number.

    Examples
    --------
    >>> from neurenix.nn import init
    >>> round(init.calculate_gain("tanh"), 4), round(init.calculate_gain("relu") ** 2, 4)
    (1.6667, 2.0)
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ArgumentError(f"calculate_gain: expected a number as the slope, got {slope!r}; pass e.g. 0.01")
        return math.sqrt(2.0 / (1.0 + slope**2))
    if nonlinearity not in _GAINS:
        raise ArgumentError(f"calculate_gain: expected one of {[*_GAINS, 'leaky_relu']}, got {nonlinearity!r}; pass one of them")
    return _GAINS[nonlinearity]


def _checked(op: str, t: Tensor) -> Tensor:
    if not isinstance(t, Tensor) or not t.is_floating_point():
        what = f"{t.dtype} numbers" if isinstance(t, Tensor) else type(t).__name__
        raise DTypeError(f"{op}: expected a tensor of floats, got {what}; pass a parameter, e.g. layer.weight")
    return t


def _fans(op: str, t: Tensor) -> tuple[int, int]:
    if _checked(op, t).ndim < 2:
        raise ShapeError(f"{op}: expected a weight of at least 2 axes, got {t.shape}; use uniform_ or zeros_ for a bias")
    field = math.prod(t.shape[2:])
    return t.shape[1] * field, t.shape[0] * field


def _fan(op: str, t: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"{op}: expected mode 'fan_in' or 'fan_out', got {mode!r}; pass one of them")
    return _fans(op, t)[mode == "fan_out"]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with numbers of [a, b), each equally likely, drawn as by :func:`neurenix.rand`.

    Raises
    ------
    ArgumentError
        If ``a > b``.
    DTypeError
        If ``tensor`` is not a tensor of floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> w = nx.nn.init.uniform_(nx.empty(100, 100), -0.1, 0.1)
    >>> w.abs().max().item() <= 0.1, abs(w.mean().item()) < 0.01
    (True, True)
    """
    _checked("uniform_", tensor)
    if not a <= b:
        raise ArgumentError(f"uniform_: expected a <= b, got {a} and {b}; exchange them")
    return tensor.assign_(random.uniform(tensor.shape, a, b, dtype=tensor.dtype, device=tensor.device, generator=generator))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers of this mean and standard deviation.

    Raises
    ------
    DTypeError
        If ``tensor`` is not a tensor of floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> w = nx.nn.init.normal_(nx.empty(100, 100), std=0.02)
    >>> round(w.std().item(), 2)
    0.02
    """
    _checked("normal_", tensor)
    return tensor.assign_(random.normal(tensor.shape, mean, std, dtype=tensor.dtype, device=tensor.device, generator=generator))


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers of this mean and deviation, those outside [a, b] drawn again.

    Parameters
    ----------
    tensor : Tensor
        Any float leaf.
    mean, std : float
        Of the normal distribution before it is cut.
    a, b : float
        The least and the largest number.

    Raises
    ------
    ArgumentError
        If [a, b] is so far from the mean that no draw would fall into it.

    Examples
    --------
    >>> import neurenix as nx
    >>> w = nx.nn.init.trunc_normal_(nx.empty(100, 100), std=0.02, a=-0.04, b=0.04)
    >>> w.abs().max().item() <= 0.04
    True
    """
    _checked("trunc_normal_", tensor)
    if not a < b or a > mean + 5 * std or b < mean - 5 * std:
        raise ArgumentError(f"trunc_normal_: expected a < b near mean={mean} with std={std}, got a={a}, b={b}; widen the range")
    return tensor.assign_(
        random.truncated_normal(tensor.shape, mean, std, a, b, dtype=tensor.dtype, device=tensor.device, generator=generator)
    )


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with the number ``val``, e.g. a bias that begins at the logit of a rare class.

    Raises
    ------
    DTypeError
        If it is not a tensor.

    Examples
    --------
    >>> import neurenix as nx
    >>> head = nx.nn.Conv2d(8, 1, 1)
    >>> nx.nn.init.constant_(head.bias, -2.0).tolist()
    [-2.0]
    """
    return _filled("constant_", tensor, val)


def _filled(op: str, tensor: Tensor, val: float) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise DTypeError(f"{op}: expected a tensor, got {type(tensor).__name__}; pass a parameter, e.g. layer.bias")
    if lazy.is_loading():
        return tensor
    values = Tensor(shape=tensor.shape, dtype=tensor.dtype, device="cpu")
    values.data.fill(val)
    return tensor.assign_(values)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.init.zeros_(nx.nn.Linear(4, 2).bias).tolist()
    [0.0, 0.0]
    """
    return _filled("zeros_", tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.init.ones_(nx.empty(3)).tolist()
    [1.0, 1.0, 1.0]
    """
    return _filled("ones_", tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """Make a matrix the identity: ones on the diagonal, zeros elsewhere.

    Raises
    ------
    ShapeError
        If it is not a matrix.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.init.eye_(nx.empty(2, 3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    if _checked("eye_", tensor).ndim != 2:
        raise ShapeError(f"eye_: expected a matrix, got {tensor.shape}; pass a 2-D weight")
    if lazy.is_loading():
        return tensor
    rows, columns = tensor.shape
    return tensor.assign_([[1.0 if i == j else 0.0 for j in range(columns)] for i in range(rows)])


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with numbers of [-a, a), ``a = gain * sqrt(6 / (fan_in + fan_out))``: for tanh and sigmoid.

    Raises
    ------
    ShapeError
        If the weight (out, in, ...) has fewer than 2 axes.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.

    Examples
    --------
    >>> import neurenix as nx
    >>> w = nx.nn.init.xavier_uniform_(nx.empty(50, 100))
    >>> w.abs().max().item() <= (6 / 150) ** 0.5
    True
    """
    bound = gain * math.sqrt(6.0 / sum(_fans("xavier_uniform_", tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers of deviation ``gain * sqrt(2 / (fan_in + fan_out))``, see :func:`xavier_uniform_`.

    Examples
    --------
    >>> import neurenix as nx
    >>> w = nx.nn.init.xavier_normal_(nx.empty(100, 100))
    >>> round(w.std().item(), 2)  # (2 / 200) ** 0.5
    0.1
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans("xavier_normal_", tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator | None = None
) -> Tensor:
    """Fill with numbers of [-b, b), ``b = gain * sqrt(3 / fan)``: for ReLU and its like.

    Parameters
    ----------
    tensor : Tensor
        A weight of at least 2 axes, (out, in, ...).
    a : float
        Slope of leaky_relu.
    mode : {"fan_in", "fan_out"}
        Keep the variance of the forward or of the backward pass.
    nonlinearity : str
        Whose gain to use, see :func:`calculate_gain`.

    Raises
    ------
    ArgumentError
        For another mode or nonlinearity.
    ShapeError
        If the weight has fewer than 2 axes.

    References
    ----------
    .. [1] K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.Conv2d(16, 32, 3)
    >>> w = nx.nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    >>> w.abs().max().item() <= (2 * 3 / (16 * 3 * 3)) ** 0.5  # fan_in: the inputs of one output
    True
    """
    fan = _fan("kaiming_uniform_", tensor, mode)
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / fan) if fan else 0.0
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers of deviation ``gain / sqrt(fan)``; arguments as of :func:`kaiming_uniform_`.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.Conv2d(32, 50, 2)
    >>> w = nx.nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    >>> round(w.std().item(), 2)  # (2 / (50 * 2 * 2)) ** 0.5
    0.1
    """
    fan = _fan("kaiming_normal_", tensor, mode)
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0, generator)
