"""Adam and its kin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from neurenix.ops import optim as steps
from neurenix.optim.batch import Batch
from neurenix.optim.entries import Group
from neurenix.optim.optimizer import Optimizer

Betas = tuple[float, float]


class Adam(Optimizer):
    """Adam: steps scaled by running moments of the gradient.

    ``m += (1 - beta1) (g - m)``, ``v += (1 - beta2) (g^2 - v)``, both divided by ``1 - beta^t``, ``p -= lr * m / (sqrt(v) + eps)``.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float
    betas : (float, float)
    eps : float
    weight_decay : float
        Added to the gradient as ``weight_decay * p``.
    amsgrad : bool
        Divide by the largest ``v`` so far.
    foreach, capturable, fused : bool, optional
        Taken for PyTorch's sake and without effect: a step is one call for all parameters of a kind in any case.
    maximize : bool
    differentiable : bool
        Refused: steps are not recorded.
    decoupled_weight_decay : bool
        Shrink ``p`` by ``lr * weight_decay`` instead, as :class:`AdamW` does.

    References
    ----------
    .. [1] D. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([1.0], requires_grad=True)
    >>> p.grad = nx.tensor([4.0])
    >>> nx.optim.Adam([p], lr=0.25, eps=0.0).step()
    >>> p.tolist()
    [0.75]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad, "maximize": maximize}
        how = {"foreach": foreach, "capturable": capturable, "differentiable": differentiable, "fused": fused}
        super().__init__(params, {**settings, **how, "decoupled_weight_decay": decoupled_weight_decay})

    def update(self, group: Group, batch: Batch) -> None:
        """Take one step of one batch of parameters."""
        beta1, beta2 = group["betas"]
        batch.zeros("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else []))
        steps.adam_step(
            batch.arrays,
            batch.gradients,
            batch.state("exp_avg"),
            batch.state("exp_avg_sq"),
            batch.state("max_exp_avg_sq") if group["amsgrad"] else [],
            float(group["lr"]),
            beta1,
            beta2,
            float(group["eps"]),
            float(group["weight_decay"]),
            1.0 - beta1**batch.step,
            1.0 - beta2**batch.step,
            group["decoupled_weight_decay"],
            group["maximize"],
        )


class AdamW(Adam):
    """Adam with decoupled weight decay: ``p`` shrinks by ``lr * weight_decay`` each step, whatever its gradient.

    See :class:`Adam` for the parameters.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Examples
    --------
    >>> import neurenix as nx
    >>> p, q = nx.tensor([1.0], requires_grad=True), nx.tensor([1.0], requires_grad=True)
    >>> p.grad, q.grad = nx.tensor([0.0]), nx.tensor([0.0])
    >>> nx.optim.AdamW([p], lr=0.5, weight_decay=0.5).step()
    >>> nx.optim.Adam([q], lr=0.5, weight_decay=0.5, eps=0.0).step()  # here the decay is part of the gradient, and is scaled like it
    >>> p.tolist(), q.tolist()
    ([0.75], [0.5])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        how = {"foreach": foreach, "capturable": capturable, "differentiable": bool(differentiable), "fused": fused}
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True, **how)  # type: ignore[arg-type]  # mixed


class Adamax(Optimizer):
    """Adam with the largest gradient in place of the second moment, see :class:`Adam` for the parameters.

    ``u = max(beta2 u, |g| + eps)``, ``p -= lr / (1 - beta1^t) * m / u``.

    References
    ----------
    .. [1] D. Kingma and J. Ba, "Adam: a method for stochastic optimization", section 7.1, ICLR 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([1.0, 1.0], requires_grad=True)
    >>> p.grad = nx.tensor([4.0, -0.5])
    >>> nx.optim.Adamax([p], lr=0.25, eps=0.0).step()
    >>> p.tolist()  # the first step has the rate's size, whatever the gradient's
    [0.75, 1.25]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, {**settings, "foreach": foreach, "differentiable": differentiable, "capturable": capturable})

    def update(self, group: Group, batch: Batch) -> None:
        """Take one step of one batch of parameters."""
        beta1, beta2 = group["betas"]
        batch.zeros("exp_avg", "exp_inf")
        steps.adamax_step(
            batch.arrays,
            batch.gradients,
            batch.state("exp_avg"),
            batch.state("exp_inf"),
            float(group["lr"]),
            beta1,
            beta2,
            float(group["eps"]),
            float(group["weight_decay"]),
            1.0 - beta1**batch.step,
            group["maximize"],
        )


class _Rectified(Optimizer):
    """What NAdam and RAdam share: Adam's moments, and a step that mixes gradient and first moment."""

    def _step(self, group: Group, batch: Batch, by_gradient: float, by_moment: float, correction2: float, eps: float) -> None:
        beta1, beta2 = group["betas"]
        batch.zeros("exp_avg", "exp_avg_sq")
        steps.nadam_step(
            batch.arrays,
            batch.gradients,
            batch.state("exp_avg"),
            batch.state("exp_avg_sq"),
            float(group["lr"]),
            beta1,
            beta2,
            eps,
            float(group["weight_decay"]),
            by_gradient,
            by_moment,
            correction2,
            group["decoupled_weight_decay"],
            group["maximize"],
        )


class NAdam(_Rectified):
    """Adam with Nesterov's momentum, see :class:`Adam` for the parameters; ``momentum_decay`` sets how momentum grows.

    References
    ----------
    .. [1] T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([1.0], requires_grad=True)
    >>> optimizer = nx.optim.NAdam([p], lr=0.1)
    >>> for _ in range(100):
    ...     optimizer.zero_grad()
    ...     ((p - 3.0) ** 2).sum().backward()
    ...     optimizer.step()
    >>> round(p.item(), 1)
    3.0
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        how = {"foreach": foreach, "capturable": capturable, "differentiable": differentiable}
        super().__init__(params, {**settings, **how, "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize})

    def update(self, group: Group, batch: Batch) -> None:
        """Take one step of one batch of parameters."""
        beta1, beta2 = group["betas"]
        now, later = (beta1 * (1.0 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (batch.step, batch.step + 1))
        product = float(np.float32(batch.states[0].get("mu_product", 1.0)) * np.float32(now))  # in which PyTorch keeps it
        for s in batch.states:
            s["mu_product"] = product
        by_gradient = float(group["lr"]) * (1.0 - now) / (1.0 - product)
        by_moment = float(group["lr"]) * later / (1.0 - product * later)
        self._step(group, batch, by_gradient, by_moment, 1.0 - beta2**batch.step, float(group["eps"]))


class RAdam(_Rectified):
    """Adam whose first steps, while the second moment is not to be trusted, do without it, see :class:`Adam` for the parameters.

    References
    ----------
    .. [1] L. Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([1.0], requires_grad=True)
    >>> p.grad = nx.tensor([4.0])
    >>> nx.optim.RAdam([p], lr=0.125).step()  # a first step by momentum alone, not divided by the root of v
    >>> p.tolist()
    [0.5]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        how = {"foreach": foreach, "capturable": capturable, "differentiable": differentiable}
        super().__init__(params, {**settings, **how, "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize})

    def update(self, group: Group, batch: Batch) -> None:
        """Take one step of one batch of parameters."""
        beta1, beta2 = group["betas"]
        t = batch.step
        correction1, correction2 = 1.0 - beta1**t, 1.0 - beta2**t
        longest = 2.0 / (1.0 - beta2) - 1.0
        length = longest - 2.0 * t * beta2**t / correction2
        by_moment = float(group["lr"]) / correction1
        if length <= 5.0:
            # An infinite correction makes the root vanish: the step is by_moment * m / 1.
            self._step(group, batch, 0.0, by_moment, float("inf"), 1.0)
            return
        rectify = ((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)) ** 0.5
        self._step(group, batch, 0.0, by_moment * rectify * correction2**0.5, 1.0, float(group["eps"]))


class Lion(Optimizer):
    """Steps of one size along the sign of a momentum.

    ``p = p (1 - lr * weight_decay) - lr * sign(beta1 m + (1 - beta1) g)``, then ``m += (1 - beta2) (g - m)``. Its rate is to be 3 to 10 times
    smaller than Adam's, its decay as much larger; it keeps one array a parameter, not two.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float
    betas : (float, float)
        How much of the momentum goes into a step, and how much of it is kept.
    weight_decay : float
        Decoupled, as in :class:`AdamW`.
    maximize : bool
        Climb instead.

    References
    ----------
    .. [1] X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([1.0, 1.0], requires_grad=True)
    >>> p.grad = nx.tensor([1000.0, -0.001])
    >>> nx.optim.Lion([p], lr=0.25).step()
    >>> p.tolist()
    [0.75, 1.25]
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-4, betas: Betas = (0.9, 0.99), weight_decay: float = 0.0, *, maximize: bool = False
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    def update(self, group: Group, batch: Batch) -> None:
        """Take one step of one batch of parameters."""
        batch.zeros("exp_avg")
        rate, decay = float(group["lr"]), float(group["weight_decay"])
        beta1, beta2 = group["betas"]
        steps.lion_step(batch.arrays, batch.gradients, batch.state("exp_avg"), rate, beta1, beta2, decay, group["maximize"])
