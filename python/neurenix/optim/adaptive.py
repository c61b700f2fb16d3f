"""Optimizers with a step size an element, other than Adam's; averaged SGD."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from neurenix.errors import ArgumentError
from neurenix.ops import optim as steps
from neurenix.optim.batch import Batch, constant_like
from neurenix.optim.entries import Group, is_pair
from neurenix.optim.optimizer import Optimizer


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean square: ``p -= lr * g / (sqrt(s) + eps)``.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float
    alpha : float
        How much of the running mean square is kept each step.
    eps, weight_decay, momentum : float
    centered : bool
        Divide by the running deviation instead.
    capturable, foreach : bool, optional
        Taken for PyTorch's sake and without effect.
    maximize : bool
    differentiable : bool
        Refused: steps are not recorded.

    References
    ----------
    .. [1] T. Tieleman and G. Hinton, "RMSprop: divide the gradient by a running average of its recent magnitude", Neural networks for machine
       learning, lecture 6.5, 2012.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([1.0, 1.0], requires_grad=True)
    >>> p.grad = nx.tensor([100.0, 0.01])
    >>> nx.optim.RMSprop([p], lr=0.25, alpha=0.75, eps=0.0).step()
    >>> p.numpy().round(4)  # 1 - 0.25 g / sqrt(0.25 g^2): small and large gradients step alike
    array([0.5, 0.5], dtype=float32)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        settings = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        how = {"capturable": capturable, "foreach": foreach, "differentiable": differentiable}
        super().__init__(params, {**settings, **how, "centered": centered, "maximize": maximize})

    def update(self, group: Group, batch: Batch) -> None:
        """Take one step of one batch of parameters."""
        centred, heavy = group["centered"], group["momentum"] > 0
        batch.zeros("square_avg", *(["grad_avg"] if centred else []), *(["momentum_buffer"] if heavy else []))
        steps.rmsprop_step(
            batch.arrays,
            batch.gradients,
            batch.state("square_avg"),
            batch.state("grad_avg") if centred else [],
            batch.state("momentum_buffer") if heavy else [],
            float(group["lr"]),
            float(group["alpha"]),
            float(group["eps"]),
            float(group["weight_decay"]),
            float(group["momentum"]),
            group["maximize"],
        )


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of squares: ``p -= lr / (1 + (t - 1) lr_decay) * g / (sqrt(sum) + eps)``.

    Steps shrink as the sum, which begins at ``initial_accumulator_value``, grows.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr, lr_decay, weight_decay, initial_accumulator_value, eps : float
    foreach, fused, differentiable, maximize
        As in :class:`Adam`.

    References
    ----------
    .. [1] J. Duchi et al., "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 12, 2011.

    Examples
    --------
    >>> import neurenix as nx
    >>> p, seen = nx.tensor([0.0], requires_grad=True), []
    >>> optimizer = nx.optim.Adagrad([p], lr=1.0)
    >>> for _ in range(4):
    ...     p.grad = nx.tensor([-1.0])
    ...     optimizer.step()
    ...     seen.append(round(p.item(), 3))
    >>> seen  # steps of 1, 1 / sqrt(2), 1 / sqrt(3), 1 / 2
    [1.0, 1.707, 2.284, 2.784]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        settings = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        how = {"foreach": foreach, "differentiable": differentiable, "fused": fused}
        super().__init__(params, {**settings, **how, "initial_accumulator_value": initial_accumulator_value, "maximize": maximize})

    def update(self, group: Group, batch: Batch) -> None:
        """Take one step of one batch of parameters."""
        for p, s in zip(batch.parameters, batch.states, strict=True):
            if "sum" not in s:
                s["sum"] = constant_like(p._array, group["initial_accumulator_value"])
        rate = float(group["lr"]) / (1.0 + (batch.step - 1) * group["lr_decay"])
        settings = (float(group["eps"]), float(group["weight_decay"]), group["maximize"])
        steps.adagrad_step(batch.arrays, batch.gradients, batch.state("sum"), rate, *settings)


class Adadelta(Optimizer):
    """Steps scaled by the ratio of running root mean squares of steps and gradients, so that a step has the parameter's unit.

    ``s += (1 - rho) (g^2 - s)``, ``d = sqrt((a + eps) / (s + eps)) g``, ``a += (1 - rho) (d^2 - a)``, ``p -= lr * d``.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float
        A factor of every step.
    rho : float
        How much of the running mean squares is kept each step.
    eps, weight_decay : float
    foreach, capturable, differentiable, maximize
        As in :class:`Adam`.

    Raises
    ------
    ArgumentError
        If ``rho`` is not in [0, 1].

    References
    ----------
    .. [1] M. Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701, 2012.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([1.0], requires_grad=True)
    >>> p.grad = nx.tensor([4.0])
    >>> nx.optim.Adadelta([p], rho=0.75, eps=1.0).step()
    >>> round(p.item(), 4)  # 1 - sqrt(1 / (0.25 * 16 + 1)) * 4
    -0.7889
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        settings = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {**settings, "capturable": capturable, "foreach": foreach, "differentiable": differentiable})

    def check(self, group: Group) -> None:
        """Refuse settings out of range."""
        super().check(group)
        if group["rho"] > 1.0:
            raise ArgumentError(f"Adadelta: expected rho in [0, 1], got {group['rho']!r}; pass e.g. 0.9")

    def update(self, group: Group, batch: Batch) -> None:
        """Take one step of one batch of parameters."""
        batch.zeros("square_avg", "acc_delta")
        rate, rho, eps, decay = (float(group[k]) for k in ("lr", "rho", "eps", "weight_decay"))
        states = (batch.state("square_avg"), batch.state("acc_delta"))
        steps.adadelta_step(batch.arrays, batch.gradients, *states, rate, rho, eps, decay, group["maximize"])


class Rprop(Optimizer):
    """Steps by the gradient's sign; their sizes grow while it stays and shrink when it turns. For full batches.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float
        Size of the first step.
    etas : (float, float)
        Factors of a step's size where the sign turned, and where it stayed.
    step_sizes : (float, float)
        The least and the largest step.
    capturable, foreach, maximize, differentiable
        As in :class:`RMSprop`.

    Raises
    ------
    ArgumentError
        If the factors or sizes are no such pairs.

    References
    ----------
    .. [1] M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation learning", ICNN 1993.

    Examples
    --------
    >>> import neurenix as nx
    >>> p, seen = nx.tensor([0.0], requires_grad=True), []
    >>> optimizer = nx.optim.Rprop([p], lr=1.0, etas=(0.5, 2.0))
    >>> for gradient in (-9.0, -0.1, -0.1, 5.0, 5.0):
    ...     p.grad = nx.tensor([gradient])
    ...     optimizer.step()
    ...     seen.append(p.item())
    >>> seen  # 1, 2, 4; none where the sign turns; 2 back
    [1.0, 3.0, 7.0, 7.0, 5.0]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        settings = {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize}
        super().__init__(params, {**settings, "foreach": foreach, "differentiable": differentiable, "capturable": capturable})

    def check(self, group: Group) -> None:
        """Refuse settings out of range."""
        super().check(group)
        if not is_pair(group["step_sizes"]):
            raise ArgumentError(f"Rprop: expected two step_sizes, got {group['step_sizes']!r}; pass the least and the most, (1e-6, 50.0)")
        if not is_pair(group["etas"]) or not 0.0 < group["etas"][0] < 1.0 < group["etas"][1]:
            raise ArgumentError(f"Rprop: expected etas with 0 < first < 1 < second, got {group['etas']!r}; pass e.g. (0.5, 1.2)")

    def update(self, group: Group, batch: Batch) -> None:
        """Take one step of one batch of parameters."""
        batch.zeros("prev")
        for p, s in zip(batch.parameters, batch.states, strict=True):
            if "step_size" not in s:
                s["step_size"] = constant_like(p._array, float(group["lr"]))
        slower, faster = group["etas"]
        least, most = group["step_sizes"]
        states = (batch.state("prev"), batch.state("step_size"))
        steps.rprop_step(batch.arrays, batch.gradients, *states, slower, faster, float(least), float(most), group["maximize"])


class ASGD(Optimizer):
    """Averaged stochastic gradient descent: the average of the parameters is in ``state[p]["ax"]``.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float
        The rate decays as ``lr / (1 + lambd * lr * t) ** alpha``.
    lambd, alpha : float
        ``lambd`` shrinks the parameters too, by ``1 - lambd * rate`` a step.
    t0 : float
        Averaged is what steps after ``t0 + 1`` give, as PyTorch does; until then the average is the parameter itself.
    weight_decay : float
    foreach, maximize, differentiable, capturable
        As in :class:`RMSprop`.

    References
    ----------
    .. [1] B. Polyak and A. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30, 1992.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([0.0], requires_grad=True)
    >>> optimizer = nx.optim.ASGD([p], lr=1.0, lambd=0.0, t0=0)
    >>> for gradient in (-1.0, -1.0, -1.0):
    ...     p.grad = nx.tensor([gradient])
    ...     optimizer.step()
    >>> p.tolist(), optimizer.state[p]["ax"].tolist()  # the last, and the mean of 2 and 3
    ([3.0], [2.5])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        settings = {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {**settings, "foreach": foreach, "differentiable": differentiable, "capturable": capturable})

    def update(self, group: Group, batch: Batch) -> None:
        """Take one step of one batch of parameters."""
        batch.zeros("ax")
        rate = float(group["lr"])
        eta, mu = batch.states[0].get("eta", _single(rate)), batch.states[0].get("mu", 1.0)
        settings = (float(group["lambd"]), eta, mu, float(group["weight_decay"]), group["maximize"])
        steps.asgd_step(batch.arrays, batch.gradients, batch.state("ax"), *settings)
        for s in batch.states:
            s["eta"] = _single(rate / (1.0 + group["lambd"] * rate * batch.step) ** group["alpha"])
            s["mu"] = _single(1.0 / max(1.0, batch.step - group["t0"]))


def _single(value: float) -> float:
    """A number rounded to single precision, in which PyTorch keeps this state."""
    return float(np.float32(value))
