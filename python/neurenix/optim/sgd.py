"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neurenix.errors import ArgumentError
from neurenix.ops import optim as steps
from neurenix.optim.batch import Batch
from neurenix.optim.entries import Group
from neurenix.optim.optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked.

    ``buffer = momentum * buffer + (1 - dampening) * (g + weight_decay * p)``, ``p -= lr * buffer``; with ``nesterov`` the step is
    ``g + momentum * buffer``. The first buffer is the gradient itself.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
    lr : float
    momentum : float
        How much of the buffer is kept each step.
    dampening : float
        What is taken off a gradient before it joins the buffer.
    weight_decay : float
        Added to the gradient as ``weight_decay * p``.
    nesterov : bool
        Needs momentum and no dampening.
    maximize : bool
        Climb instead.
    foreach, differentiable, fused
        As in :class:`Adam`.

    Raises
    ------
    ArgumentError
        If a setting is out of range.

    Examples
    --------
    >>> import neurenix as nx
    >>> p, seen = nx.tensor([0.0], requires_grad=True), []
    >>> optimizer = nx.optim.SGD([p], lr=1.0, momentum=0.5)
    >>> for _ in range(3):
    ...     p.grad = nx.tensor([-1.0])
    ...     optimizer.step()
    ...     seen.append(p.item())
    >>> seen  # steps of 1, 1.5, 1.75: on towards 2
    [1.0, 2.5, 4.25]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, {**settings, "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused})

    def check(self, group: Group) -> None:
        """Refuse settings out of range."""
        super().check(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ArgumentError("SGD: expected momentum and no dampening with nesterov, got neither or dampening; pass momentum=0.9")

    def update(self, group: Group, batch: Batch) -> None:
        """Take one step of one batch of parameters."""
        first = [s.get("momentum_buffer") is None for s in batch.states]
        if group["momentum"] and len(set(first)) > 1:
            for fresh in (True, False):
                chosen = [i for i, f in enumerate(first) if f == fresh]
                self.update(group, batch.only(chosen))
            return
        if group["momentum"] and first[0]:
            for s in batch.states:
                s.pop("momentum_buffer", None)
            batch.zeros("momentum_buffer")
        steps.sgd_step(
            batch.arrays,
            batch.gradients,
            batch.state("momentum_buffer") if group["momentum"] else [],
            float(group["lr"]),
            float(group["momentum"]),
            float(group["dampening"]),
            float(group["weight_decay"]),
            group["nesterov"],
            group["maximize"],
            first[0],
        )
