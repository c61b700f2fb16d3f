"""Moving pixels between space and channels: copies through views, no arithmetic."""

from __future__ import annotations

from typing import Any

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.errors import ShapeError
from neurenix.layout import contiguous, copy_into
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor, as_tensor


def _rearranged(op: str, x: Tensor, split: tuple[int, ...], axes: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """Split axes, permute them and join them again: ``split`` sizes of ``x``, their order, the result's shape."""
    before = x.shape
    inverse = tuple(sorted(range(len(axes)), key=axes.__getitem__))
    permuted = tuple(split[a] for a in axes)

    def vjp(g: Array) -> tuple[Array]:
        return (_moved(g, permuted, inverse, before),)

    return autograd.record(op, _moved(x._array, split, axes, shape), (x,), vjp)


def _moved(x: Array, split: tuple[int, ...], axes: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """The rearranged array, channels last where ``x`` lies so."""
    last = x.ndim == 4 and not x.flags.c_contiguous and x.transpose(0, 2, 3, 1).flags.c_contiguous
    if not last:
        x = contiguous(x)
    y = backend.new(x, (shape[0], *shape[2:], shape[1])).transpose(0, 3, 1, 2) if last else backend.new(x, shape)
    source = x.reshape(split).transpose(axes)
    copy_into(y.reshape(source.shape), source)
    return y


def pixel_shuffle(input: Any, upscale_factor: int) -> Tensor:
    """Move channels into space: (..., C r r, H, W) to (..., C, H r, W r).

    Parameters
    ----------
    input : Tensor, shape (..., C r r, H, W)
        Any element type and memory order.
    upscale_factor : int
        The factor r.

    Returns
    -------
    Tensor, shape (..., C, H r, W r)

    Raises
    ------
    ShapeError
        If the channels are no multiple of r r.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([1.0, 2.0, 3.0, 4.0]).numpy().reshape(1, 4, 1, 1)
    >>> nx.nn.functional.pixel_shuffle(x, 2).numpy()[0, 0]
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    op = "pixel_shuffle"
    x, r = as_tensor(input), integer(op, "upscale_factor", upscale_factor, 1)
    if x.ndim < 3 or x.shape[-3] % (r * r):
        raise ShapeError(
            f"{op}: expected x (..., C, H, W) with C a multiple of {r * r}, got shape {x.shape}; change upscale_factor or the channels"
        )
    *lead, c, h, w = x.shape
    n, c = len(lead), c // (r * r)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return _rearranged(op, x, (*lead, c, r, r, h, w), order, (*lead, c, h * r, w * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Tensor:
    """Move space into channels: (..., C, H r, W r) to (..., C r r, H, W), the inverse of :func:`pixel_shuffle`.

    Parameters
    ----------
    input : Tensor, shape (..., C, H r, W r)
        Any element type and memory order.
    downscale_factor : int
        The factor r.

    Returns
    -------
    Tensor, shape (..., C r r, H, W)

    Raises
    ------
    ShapeError
        If height or width are no multiple of r.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.pixel_unshuffle(nx.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 2).numpy().ravel()
    array([1., 2., 3., 4.], dtype=float32)
    """
    op = "pixel_unshuffle"
    x, r = as_tensor(input), integer(op, "downscale_factor", downscale_factor, 1)
    if x.ndim < 3 or x.shape[-2] % r or x.shape[-1] % r:
        raise ShapeError(f"{op}: expected x (..., C, H, W) with H and W multiples of {r}, got shape {x.shape}; crop or pad it")
    *lead, c, h, w = x.shape
    n, h, w = len(lead), h // r, w // r
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return _rearranged(op, x, (*lead, c, h, r, w, r), order, (*lead, c * r * r, h, w))


def channel_shuffle(input: Any, groups: int) -> Tensor:
    """Deal out the channels of ``groups`` groups in turn.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
        Any element type and memory order.
    groups : int
        A divisor of C.

    Returns
    -------
    Tensor, shape of ``input``

    Raises
    ------
    ShapeError
        If the channels are no multiple of the groups.

    References
    ----------
    .. [1] X. Zhang et al., "ShuffleNet", CVPR 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([1.0, 2.0, 3.0, 4.0]).numpy().reshape(1, 4, 1, 1)
    >>> nx.nn.functional.channel_shuffle(x, 2).numpy().ravel()
    array([1., 3., 2., 4.], dtype=float32)
    """
    op = "channel_shuffle"
    x, g = as_tensor(input), integer(op, "groups", groups, 1)
    if x.ndim < 3 or x.shape[1] % g:
        raise ShapeError(f"{op}: expected x (N, C, ...) with C a multiple of {g}, got shape {x.shape}; change groups")
    n, c, *rest = x.shape
    order = (0, 2, 1, *range(3, 3 + len(rest)))
    return _rearranged(op, x, (n, g, c // g, *rest), order, x.shape)
