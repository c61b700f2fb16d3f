"""Losses."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from properties.draws import Draw
from properties.table import Example, constant, function, row

from neurenix.nn import functional as F


def compared(name: str, d: Draw, x: dict[str, Any] | None = None, t: dict[str, Any] | None = None, **options: Any) -> Example:
    """Prediction and target of one shape; only the prediction is varied where the target may not be."""
    shape = d.shape(least=1)
    target = d.numbers(*shape, **(t or {}))
    reduction = d.pick("none", "mean", "sum")
    return (lambda y: function(name)(y, constant(target, y), reduction=reduction, **options)), d.numbers(*shape, **(x or {}))


FAR = {"low": 3.5, "high": 5}
UNIT = {"low": 0.1, "high": 0.9}
row("mse_loss", partial(compared, "mse_loss"))
row("l1_loss", partial(compared, "l1_loss", t=FAR))
row("smooth_l1_loss", lambda d: compared("smooth_l1_loss", d, t=d.pick(FAR, {"low": -0.1, "high": 0.1}), x={"low": -0.3, "high": 0.3}))
row("huber_loss", lambda d: compared("huber_loss", d, t=d.pick(FAR, {"low": -0.1, "high": 0.1}), x={"low": -0.3, "high": 0.3}))
row("kl_div", partial(compared, "kl_div", t=UNIT))
row("binary_cross_entropy", partial(compared, "binary_cross_entropy", x=UNIT, t=UNIT))
row("binary_cross_entropy_with_logits", partial(compared, "binary_cross_entropy_with_logits", t=UNIT))
row("poisson_nll_loss", partial(compared, "poisson_nll_loss", t={"low": 0.5, "high": 3}))


def signs(name: str, d: Draw) -> Example:
    shape = d.shape(least=2, most=2)
    target = np.where(d.mask(*shape), 1.0, 0.0 if name.startswith("multilabel") else -1.0)
    reduction = d.pick("mean", "sum")
    return (lambda y: function(name)(y, constant(target, y), reduction=reduction)), d.numbers(*shape)


row("soft_margin_loss", partial(signs, "soft_margin_loss"))
row("multilabel_soft_margin_loss", partial(signs, "multilabel_soft_margin_loss"))


def classes(name: str, d: Draw) -> Example:
    n = d.int(2, 5)
    shape = (d.int(1, 3), n, *(d.int(1, 4) for _ in range(d.int(0, 2))))
    target = d.index(n, shape[0], *shape[2:])
    weight = d.numbers(n, low=0.5)
    options: dict[str, Any] = {"reduction": d.pick("none", "mean", "sum")}
    if name == "cross_entropy":
        options["label_smoothing"] = d.pick(0.0, 0.2)
    if d.flag() and target.size > 1:
        target.reshape(-1)[0] = -100
    return (lambda y: function(name)(y, constant(target, y), weight=constant(weight, y), **options)), d.numbers(*shape)


def soft_classes(d: Draw) -> Example:
    shape = (d.int(1, 3), d.int(2, 5), d.int(1, 4))
    target = d.numbers(*shape, low=0.1)
    target /= target.sum(1, keepdims=True)
    return (lambda y: F.cross_entropy(y, constant(target, y))), d.numbers(*shape)


row("cross_entropy", partial(classes, "cross_entropy"))
row("cross_entropy/probabilities", soft_classes)
row("nll_loss", partial(classes, "nll_loss"), linear=(0,))


def margins(name: str, d: Draw) -> Example:
    n, c = d.int(1, 4), d.int(2, 5)
    target = d.index(c, n) if name == "multi_margin_loss" else np.concatenate([d.index(c, n, 1), np.full((n, c - 1), -1)], axis=1)
    return (lambda y: function(name)(y, constant(target, y))), d.distinct(n, c, step=0.07)


row("multi_margin_loss", partial(margins, "multi_margin_loss"))
row("multilabel_margin_loss", partial(margins, "multilabel_margin_loss"))
