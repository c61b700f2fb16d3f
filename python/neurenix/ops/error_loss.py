"""Losses of one element at a time: squared and absolute errors, divergences, margins."""

from __future__ import annotations

from typing import Any

from neurenix.errors import ArgumentError
from neurenix.ops._reduction import prediction, reduced_as, reduction_of, refuse_probabilities, spread_over, target_like
from neurenix.ops.loss import Way, elementwise, with_mask
from neurenix.tensor import Tensor, as_tensor


def _weighted_error(op: str, way: Way, input: Any, target: Any, how: str, weight: Any, mask: Any, a: float = 0.0) -> Tensor:
    """An error with weights as PyTorch has them: a mean is divided by the sum of the weights, but Huber's is over the elements."""
    x = prediction(op, input)
    t = target_like(op, target, x)
    if weight is None:
        return with_mask(op, way, x, t, how, None, mask, None, a=a)
    if mask is not None:
        raise ArgumentError(f"{op}: expected weight or mask, got both; multiply them")
    w = as_tensor(weight, x)
    spread_over(op, "weight", w, x)
    w = w.expand(x.shape)
    y = elementwise(op, way, x, t, "none", a) * w
    if how == "none":
        return y
    if how == "mean" and way is Way.HUBER:
        return y.mean()
    return y.sum() if how == "sum" else y.sum() / w.sum()


def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
    *,
    mask: Any = None,
) -> Tensor:
    """``(x - t)^2``; with ``weight`` a mean is divided by the sum of the weights, with ``mask`` by the number of kept elements.

    Raises
    ------
    ShapeError
        If the shapes differ.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.mse_loss(nx.tensor([1.0, 3.0]), nx.tensor([1.0, 1.0])).item()
    2.0
    """
    how = reduction_of("mse_loss", reduction, size_average, reduce)
    return _weighted_error("mse_loss", Way.MSE, input, target, how, weight, mask)


def l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
    *,
    mask: Any = None,
) -> Tensor:
    """``|x - t|``, see :func:`mse_loss` for the arguments; the gradient is 0 where they are equal.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.l1_loss(nx.tensor([1.0, 3.0]), nx.tensor([1.0, 1.0])).item()
    1.0
    """
    how = reduction_of("l1_loss", reduction, size_average, reduce)
    return _weighted_error("l1_loss", Way.L1, input, target, how, weight, mask)


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
    *,
    mask: Any = None,
) -> Tensor:
    """``d^2 / (2 beta)`` for ``d = |x - t|`` below ``beta``, else ``d - beta / 2``, see :func:`mse_loss` for the arguments.

    Raises
    ------
    ArgumentError
        If ``beta`` is negative.

    References
    ----------
    .. [1] R. Girshick, "Fast R-CNN", ICCV 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.smooth_l1_loss(nx.tensor([0.5, 3.0]), nx.tensor([0.0, 0.0]), reduction="none")
    tensor([0.125, 2.5  ])
    """
    how = reduction_of("smooth_l1_loss", reduction, size_average, reduce)
    if not beta >= 0:
        raise ArgumentError(f"smooth_l1_loss: expected beta of at least 0, got {beta!r}; pass e.g. 1.0")
    way = Way.SMOOTH_L1 if beta > 0 else Way.L1
    return _weighted_error("smooth_l1_loss", way, input, target, how, None, mask, beta)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None, *, mask: Any = None) -> Tensor:
    """``d^2 / 2`` for ``d = |x - t|`` up to ``delta``, else ``delta (d - delta / 2)``, see :func:`mse_loss` for the arguments.

    A mean with ``weight`` is over all elements, not divided by the sum of the weights, as PyTorch has it for this loss.

    Raises
    ------
    ArgumentError
        If ``delta`` is not above 0.

    References
    ----------
    .. [1] P. Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35, 1964.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.huber_loss(nx.tensor([1.0, 4.0]), nx.tensor([0.0, 0.0]), reduction="none", delta=2.0)
    tensor([0.5, 6. ])
    """
    how = reduction_of("huber_loss", reduction, None, None)
    if not delta > 0:
        raise ArgumentError(f"huber_loss: expected delta above 0, got {delta!r}; pass e.g. 1.0")
    return _weighted_error("huber_loss", Way.HUBER, input, target, how, weight, mask, delta)


def kl_div(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Kullback and Leibler's divergence ``t (log t - x)`` of log-probabilities ``x``; ``exp(t) (t - x)`` with ``log_target``.

    ``reduction`` may also be "batchmean": the sum over the size of the first axis, which is the divergence's definition; a "mean"
    is over all elements.

    Raises
    ------
    ShapeError
        If the shapes differ.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.log_softmax(nx.tensor([[0.0, 0.0]]), dim=1)
    >>> nx.nn.functional.kl_div(x, nx.tensor([[1.0, 0.0]]), reduction="batchmean")  # log(2)
    tensor(0.6931)
    """
    batch = reduction == "batchmean"
    how = reduction_of("kl_div", "sum" if batch else reduction, size_average, reduce)
    x = prediction("kl_div", input)
    t, way = target_like("kl_div", target, x), Way.KL_LOG if log_target else Way.KL
    return elementwise("kl_div", way, x, t, how, divisor=float(x.shape[0]) if batch and x.ndim else None)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``exp(x) - t x`` for counts ``t`` of rate ``exp(x)``, or ``x - t log(x + eps)`` without ``log_input``.

    ``full`` adds Stirling's approximation of ``log t!`` where ``t > 1``.

    Raises
    ------
    ShapeError
        If the shapes differ.

    Examples
    --------
    >>> import neurenix as nx
    >>> rates, counts = nx.tensor([4.0, 4.0]), nx.tensor([4.0, 0.0])
    >>> nx.nn.functional.poisson_nll_loss(nx.log(rates), counts, reduction="none")
    tensor([-1.5452,  4.    ])
    """
    how = reduction_of("poisson_nll_loss", reduction, size_average, reduce)
    x = prediction("poisson_nll_loss", input)
    way = Way.POISSON_LOG if log_input else Way.POISSON
    return elementwise("poisson_nll_loss", way, x, target_like("poisson_nll_loss", target, x), how, 1.0 if full else 0.0, eps)


def soft_margin_loss(
    input: Any, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """``log(1 + exp(-t x))`` for targets 1 and -1, of the input's shape.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.soft_margin_loss(nx.tensor([0.0, 5.0, 5.0]), nx.tensor([1.0, 1.0, -1.0]), reduction="none")
    tensor([0.6931, 0.0067, 5.0067])
    """
    how = reduction_of("soft_margin_loss", reduction, size_average, reduce)
    x = prediction("soft_margin_loss", input)
    return elementwise("soft_margin_loss", Way.SOFT_MARGIN, x, target_like("soft_margin_loss", target, x), how)


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross entropy of logits, averaged over the classes in the last axis: (N, C) gives (N,) for "none".

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If the input is the output of sigmoid or softmax.

    Examples
    --------
    >>> import neurenix as nx
    >>> logits, labels = nx.tensor([[0.0, 0.0]]), nx.tensor([[1.0, 0.0]])
    >>> nx.nn.functional.multilabel_soft_margin_loss(logits, labels)  # log(2)
    tensor(0.6931)
    """
    op = "multilabel_soft_margin_loss"
    how, x = reduction_of(op, reduction, size_average, reduce), prediction(op, input)
    refuse_probabilities(op, x, "binary_cross_entropy (BCELoss)")
    t = target_like(op, target, x)
    y = elementwise(op, Way.BCE_LOGITS, x, t, "none")
    if weight is not None:
        spread_over(op, "weight", weight, x)
        y = y * as_tensor(weight, x)  # which may want a gradient
    return reduced_as(y.mean(-1), how)
