"""Batch, instance and group norm of (N, C, ...)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from neurenix import autograd, backend, layout, ops
from neurenix._typing import Array
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.ops import sample_norm
from neurenix.ops._arguments import integer
from neurenix.ops.norm import Sizes, Tables, apply, backward, batch_tables, from_last, is_rerun, running_tables, sizes_of, to_last
from neurenix.tensor import Tensor, as_tensor
from neurenix.window_rules import at_place

Affine = tuple[Array | None, Array | None]
Rule = Callable[[Array, tuple[bool, ...]], list[Array | None]]
Pair = tuple[Tensor | None, Tensor | None]


def _check(op: str, x: Tensor, c: int, **channels: Tensor | None) -> None:
    if not x.is_floating_point() or x.dtype.itemsize < 4:
        raise DTypeError(f"{op}: expected float32 or float64, got {x.dtype}; convert it with .float()")
    for name, t in channels.items():
        if t is None:
            continue
        if t.shape != (c,):
            raise ShapeError(f"{op}: expected {name} of shape ({c},) for input {x.shape}, got {t.shape}; give one value a channel")
        if t.dtype != x.dtype:
            raise DTypeError(f"{op}: expected {name} of {x.dtype} like the input, got {t.dtype}; convert one with .to(dtype)")
        backend.same_device(op, x._array, t._array)


def _optional(t: Any, like: Tensor) -> Tensor | None:
    return None if t is None else as_tensor(t, like)


def _normalise(
    op: str,
    x: Tensor,
    groups: int,
    running: tuple[Tensor | None, Tensor | None],
    affine: tuple[Tensor | None, Tensor | None],
    training: bool,
    momentum: float,
    eps: float,
    relu: bool,
) -> Tensor:
    """Normalise (N, C, ...) by its own statistics if ``training``, else by the running ones."""
    _check(op, x, x.shape[1], running_mean=running[0], running_var=running[1], weight=affine[0], bias=affine[1])
    weight, bias = (None if t is None else layout.contiguous(t._array) for t in affine)
    stored = [None if t is None else layout.contiguous(t._array) for t in running]
    moves = training and x._array.size > 0 and not is_rerun()
    moving = (stored[0], stored[1]) if moves else (None, None)
    inputs = tuple(t for t in (x, *affine) if t is not None)
    needs = tuple(t is not None and t.requires_grad for t in (x, *affine))
    if training and groups:
        y, rule = sample_norm.normalise(x._array, groups, (weight, bias), moving, momentum, eps, relu)
    else:
        y, rule = _by_channel(x._array, (weight, bias), (stored[0], stored[1]), moving, training, momentum, eps, relu)
    if moves:
        _settle(running, stored)

    def vjp(g: Array) -> list[Array | None]:
        return [g for g, t in zip(rule(g, needs), (x, *affine), strict=True) if t is not None]

    return autograd.record(op, y, inputs, vjp, None if training else at_place)


def _settle(running: Sequence[Tensor | None], stored: Sequence[Array | None]) -> None:
    """Hand statistics that moved back to their tensors."""
    for t, array in zip(running, stored, strict=True):
        if t is not None:
            if array is not t._array:
                layout.copy_into(t._array, array)
            t._version += 1


def find_tables(
    buffer: Array,
    s: Sizes,
    running: Pair,
    affine: Pair,
    training: bool,
    momentum: float,
    eps: float,
    moments: tuple[Array, Array] | None = None,
) -> Tables:
    """Tables of a buffer's channels by its own statistics if ``training``, which then move the running ones, else by those."""
    weight, bias = (None if t is None else layout.contiguous(t._array) for t in affine)
    stored = [None if t is None else layout.contiguous(t._array) for t in running]
    if not training:
        return running_tables(buffer, stored[0], stored[1], weight, bias, eps)
    moves = buffer.size > 0 and not is_rerun()
    tables = batch_tables(buffer, s, weight, bias, (stored[0], stored[1]) if moves else (None, None), momentum, eps, moments)
    if moves:
        _settle(running, stored)
    return tables


def _by_channel(
    x: Array, affine: Affine, stored: Affine, moving: Affine, training: bool, momentum: float, eps: float, relu: bool
) -> tuple[Array, Rule]:
    """Each channel by its statistics over the batch, or by stored ones."""
    s, buffer = sizes_of(x, 0), to_last(x)
    tables = batch_tables(buffer, s, *affine, moving, momentum, eps) if training else running_tables(buffer, *stored, *affine, eps)
    y = apply(buffer, s, tables, relu)

    def rule(g: Array, needs: tuple[bool, ...]) -> list[Array | None]:
        dx, dweight, dbias = backward(to_last(g), buffer, s, tables, affine[0], training, relu, needs)
        return [None if dx is None else from_last(dx), dweight, dbias]

    return from_last(y), rule


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    relu: bool = False,
) -> Tensor:
    """Normalise each channel over the batch: ``(x - mean) / sqrt(var + eps) * weight + bias``.

    Parameters
    ----------
    input : Tensor, shape (N, C) or (N, C, ...)
    running_mean, running_var : Tensor, shape (C,), or None
        Overwritten while training: ``(1 - momentum) * old + momentum * new``, with the unbiased variance; used in evaluation.
    weight, bias : Tensor, shape (C,), optional
    training : bool
        Use the batch's mean and biased variance rather than the running ones.
    momentum, eps : float
    relu : bool
        Apply ReLU in the same pass; the same bits as ReLU afterwards.

    Returns
    -------
    Tensor, shape and dtype of ``input``

    Raises
    ------
    ShapeError, DTypeError
        If sizes or element types do not fit.
    ArgumentError
        If there is nothing to normalise by in evaluation, or ``eps`` is not above 0 in training, or below 0.

    Notes
    -----
    One value a channel is accepted while training (the output is the bias, as exactly as follows). Sums are taken over fixed units of
    pixels in a fixed tree, so the bits do not depend on threads or memory order.

    It is computed as ``x * scale + shift`` with ``scale = weight / sqrt(var + eps)``, and so float32 results are off by up to 5e-7 times
    the largest ``|x * scale|``: nothing to speak of where values spread as widely as they lie from 0, 0.03 instead of 0 where all are
    1000 (``eps`` of 1e-5). Subtract such an offset before, take float64, or use :func:`layer_norm`, which subtracts the mean first.

    References
    ----------
    .. [1] S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[1.0, 2.0], [3.0, 6.0]])
    >>> nx.nn.functional.batch_norm(x, None, None, training=True, eps=1e-12).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    """
    x = as_tensor(input)
    if x.ndim < 2 and x._array.size > 0:
        raise ShapeError(f"batch_norm: expected (N, C) or (N, C, ...), got {x.shape}; add the missing axes with .unsqueeze(0)")
    if x.ndim < 2:
        return autograd.record("batch_norm", x._array, (x,), lambda g: (g,))
    if not eps >= 0:
        raise ArgumentError(f"batch_norm: expected eps of at least 0, got {eps}; pass e.g. 1e-5")
    if training and not eps > 0:
        raise ArgumentError(f"batch_norm: expected eps above 0 in training, got {eps}; pass e.g. eps=1e-5")
    running = (_optional(running_mean, x), _optional(running_var, x))
    if not training and any(t is None for t in running):
        raise ArgumentError("batch_norm: expected running_mean and running_var in evaluation, got None; pass them or training=True")
    return _normalise("batch_norm", x, 0, running, (_optional(weight, x), _optional(bias, x)), training, momentum, eps, relu)


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    relu: bool = False,
) -> Tensor:
    """Normalise each channel of each sample over its pixels, see :func:`batch_norm` for the arguments and how exact it is.

    Running statistics move towards the average over the samples; ``use_input_stats=False`` normalises by them.

    Raises
    ------
    ShapeError
        If there are no pixels.
    ArgumentError
        If ``use_input_stats=False`` comes without running statistics.

    References
    ----------
    .. [1] D. Ulyanov et al., "Instance normalization: the missing ingredient for fast stylization", 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[[1.0, 3.0]], [[10.0, 30.0]]]])  # N, C, H, W = 1, 2, 1, 2
    >>> nx.nn.functional.instance_norm(x)
    tensor([[[[-1.,  1.]],
    <BLANKLINE>
             [[-1.,  1.]]]])
    """
    x = as_tensor(input)
    if x.ndim < 3:
        raise ShapeError(f"instance_norm: expected (N, C, ...) with pixels, got {x.shape}; use batch_norm or layer_norm for (N, C)")
    running = (_optional(running_mean, x), _optional(running_var, x))
    if not use_input_stats and any(t is None for t in running):
        raise ArgumentError("instance_norm: expected running_mean and running_var, got None; pass them or use_input_stats=True")
    groups = x.shape[1] if use_input_stats else 0
    return _normalise("instance_norm", x, groups, running, (_optional(weight, x), _optional(bias, x)), use_input_stats, momentum, eps, relu)


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, *, relu: bool = False) -> Tensor:
    """Normalise groups of C / num_groups channels of each sample, see :func:`batch_norm` for the arguments and how exact it is.

    Raises
    ------
    ArgumentError
        If the groups do not divide the channels.
    ShapeError
        If there are no channels or pixels.

    References
    ----------
    .. [1] Y. Wu and K. He, "Group normalization", ECCV 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.group_norm(nx.tensor([[1.0, 3.0, 5.0, 9.0]]), 2, eps=0.0).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    x = as_tensor(input)
    if x.ndim < 2:
        raise ShapeError(f"group_norm: expected (N, C) or (N, C, ...), got {x.shape}; add the missing axes with .unsqueeze(0)")
    if 0 in x.shape[1:]:
        raise ShapeError(f"group_norm: expected channels and pixels, got {x.shape}; only the batch may be empty")
    if isinstance(num_groups, bool) or not isinstance(num_groups, int) or num_groups < 1 or x.shape[1] % num_groups:
        raise ArgumentError(f"group_norm: expected groups that divide {x.shape[1]} channels, got {num_groups!r}; pass a divisor")
    return _normalise("group_norm", x, num_groups, (None, None), (_optional(weight, x), _optional(bias, x)), True, 0.0, eps, relu)


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Divide by ``(k + alpha * mean of x^2 over size neighbouring channels)^beta``; channels beyond the ends count as zeros.

    (N, C, ...) gives the same shape, of the input's float type.

    Raises
    ------
    ShapeError
        If ``input`` has fewer than three axes.

    References
    ----------
    .. [1] A. Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", NeurIPS 2012.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.local_response_norm(nx.ones(1, 3, 2), size=3, alpha=3.0, beta=1.0)
    tensor([[[0.3333, 0.3333],
             [0.25  , 0.25  ],
             [0.3333, 0.3333]]])
    """
    x = as_tensor(input)
    if x.ndim < 3:
        raise ShapeError(f"local_response_norm: expected (N, C, ...) with pixels, got {x.shape}; add the missing axes with .unsqueeze(0)")
    size = integer("local_response_norm", "size", size, 1)
    edges = (0, 0) * (x.ndim - 2) + (size // 2, (size - 1) // 2)
    squares = ops.pad(x * x, edges)
    windows = [squares.narrow(1, i, x.shape[1]) for i in range(size)]
    near = windows[0]
    for window in windows[1:]:
        near = near + window
    return x / ops.pow(near * (alpha / size) + k, beta)
