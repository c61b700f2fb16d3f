"""Steps of optimizers over lists of parameters, averages of weights, clipping of gradients: kernel rows.

Lists of one call hold arrays of one element type on one device; an empty list is a state that is not used.
"""

from __future__ import annotations

from neurenix.backend.kernel import Double, DoubleOut, Enum, In, InOut, List, Real, kernel


@kernel("floats")
def sgd_step(
    p: List[InOut],
    g: List[In],
    buffer: List[InOut],
    lr: Real,
    momentum: Real,
    dampening: Real,
    weight_decay: Real,
    nesterov: Enum,
    maximize: Enum,
    first: Enum,
) -> None:
    """buffer = momentum * buffer + (1 - dampening) * g, the first time g; p -= lr * buffer (or g + momentum * buffer)."""


@kernel("floats")
def adam_step(
    p: List[InOut],
    g: List[In],
    m: List[InOut],
    v: List[InOut],
    largest: List[InOut],
    lr: Real,
    beta1: Real,
    beta2: Real,
    eps: Real,
    weight_decay: Real,
    correction1: Real,
    correction2: Real,
    decoupled: Enum,
    maximize: Enum,
) -> None:
    """m += (1 - beta1) (g - m), v += (1 - beta2) (g^2 - v), p -= lr / correction1 * m / (sqrt(v / correction2) + eps)."""


@kernel("floats")
def nadam_step(
    p: List[InOut],
    g: List[In],
    m: List[InOut],
    v: List[InOut],
    lr: Real,
    beta1: Real,
    beta2: Real,
    eps: Real,
    weight_decay: Real,
    by_gradient: Real,
    by_moment: Real,
    correction2: Real,
    decoupled: Enum,
    maximize: Enum,
) -> None:
    """Adam's moments; p -= (by_gradient * g + by_moment * m) / (sqrt(v / correction2) + eps): NAdam's and RAdam's step."""


@kernel("floats")
def adamax_step(
    p: List[InOut],
    g: List[In],
    m: List[InOut],
    largest: List[InOut],
    lr: Real,
    beta1: Real,
    beta2: Real,
    eps: Real,
    weight_decay: Real,
    correction1: Real,
    maximize: Enum,
) -> None:
    """m += (1 - beta1) (g - m), u = max(beta2 u, |g| + eps), p -= lr / correction1 * m / u."""


@kernel("floats")
def lion_step(p: List[InOut], g: List[In], m: List[InOut], lr: Real, beta1: Real, beta2: Real, weight_decay: Real, maximize: Enum) -> None:
    """p = p (1 - lr * weight_decay) - lr * sign(beta1 m + (1 - beta1) g), then m += (1 - beta2) (g - m)."""


@kernel("floats")
def rmsprop_step(
    p: List[InOut],
    g: List[In],
    square: List[InOut],
    mean: List[InOut],
    buffer: List[InOut],
    lr: Real,
    alpha: Real,
    eps: Real,
    weight_decay: Real,
    momentum: Real,
    maximize: Enum,
) -> None:
    """s += (1 - alpha) (g^2 - s); p -= lr * g / (sqrt(s - mean^2) + eps), the mean only if centred, through a momentum buffer if given."""


@kernel("floats")
def adagrad_step(p: List[InOut], g: List[In], sum: List[InOut], lr: Real, eps: Real, weight_decay: Real, maximize: Enum) -> None:
    """sum += g^2, p -= lr * g / (sqrt(sum) + eps)."""


@kernel("floats")
def adadelta_step(
    p: List[InOut], g: List[In], square: List[InOut], delta: List[InOut], lr: Real, rho: Real, eps: Real, weight_decay: Real, maximize: Enum
) -> None:
    """s += (1 - rho) (g^2 - s), step = sqrt(d + eps) / sqrt(s + eps) * g, d += (1 - rho) (step^2 - d), p -= lr * step."""


@kernel("floats")
def rprop_step(
    p: List[InOut], g: List[In], before: List[InOut], size: List[InOut], slower: Real, faster: Real, least: Real, most: Real, maximize: Enum
) -> None:
    """Step sizes grow while the gradient keeps its sign and shrink when it turns; p -= sign(g) * size, nothing after a turn."""


@kernel("floats")
def asgd_step(
    p: List[InOut], g: List[In], average: List[InOut], decay: Real, eta: Real, mu: Real, weight_decay: Real, maximize: Enum
) -> None:
    """p = p (1 - lambda * eta) - eta * g, average += mu (p - average)."""


@kernel("floats")
def average_step(average: List[InOut], p: List[In], decay: Real) -> None:
    """average += (1 - decay) (p - average), for every parameter."""


@kernel("floats")
def total_norm(g: List[In], total: DoubleOut, order: Real) -> None:
    """total = (sum of |g|^order over all arrays)^(1 / order), the largest |g| for an infinite order; in double precision, in units."""


@kernel("floats")
def clip_norm(g: List[InOut], norm: Double, most: Real) -> None:
    """g *= min(1, most / (norm + 1e-6)), for every array."""


@kernel("floats")
def clip_value(g: List[InOut], most: Real) -> None:
    """g = min(max(g, -most), most), for every array; NaN stays."""
