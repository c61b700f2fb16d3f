"""Elements in other places: choices by masks, flips, rolls, repetitions."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix import autograd, backend, layout, window
from neurenix._typing import Array
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.ops._arguments import integer
from neurenix.ops.arithmetic import operands
from neurenix.ops.elementwise import choose, common_shape, expanded, result, scalar
from neurenix.ops.reduce import Fold, axes_of, axis_of, fold, sum_to
from neurenix.ops.shape import given
from neurenix.tensor import Tensor, as_tensor


def _mask(op: str, condition: Any) -> Tensor:
    mask = as_tensor(condition)
    if mask.dtype not in {np.dtype(np.bool_), np.dtype(np.uint8)}:
        raise DTypeError(f"{op}: expected a bool mask, got {mask.dtype}; compare first, e.g. x > 0")
    return Tensor._wrap(layout.cast(mask._array, np.bool_))


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """``input`` where ``condition``, else ``other``, broadcast; with the condition alone, its nonzero indices.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([-1.0, 2.0])
    >>> nx.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    mask = _mask("where", condition)
    if input is None and other is None:
        from neurenix.ops.indexing import nonzero

        return nonzero(mask, as_tuple=True)
    x, y = operands("where", input, other)
    mask, x, y = window.aligned("where", (mask, x, y))
    backend.same_device("where", mask._array, x._array)
    common_shape("where", mask.shape, x.shape, y.shape)
    m, sx, sy = mask._array, x.shape, y.shape
    needs = (x.requires_grad, y.requires_grad)

    def vjp(g: Array) -> tuple[Array | None, ...]:
        zero = scalar(g, 0.0)
        return sum_to(choose(m, g, zero), sx) if needs[0] else None, sum_to(choose(m, zero, g), sy) if needs[1] else None

    return autograd.record("where", choose(m, x._array, y._array), (x, y), vjp)


def masked_fill(input: Any, mask: Any, value: Any) -> Tensor:
    """``input`` with ``value``, a number or 0-d tensor, where the bool ``mask`` holds; the mask is broadcast.

    Raises
    ------
    DTypeError
        If the mask is neither of bools nor uint8.
    ShapeError
        If ``value`` has axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> scores = nx.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> nx.masked_fill(scores, nx.tensor([True, False]), float("-inf"))
    tensor([[-inf,   2.],
            [-inf,   4.]])
    """
    x = as_tensor(input)
    filler = as_tensor(value, x)
    if filler.ndim:
        raise ShapeError(f"masked_fill: expected a number or a 0-d tensor, got shape {filler.shape}; use where")
    chosen: Tensor = where(_mask("masked_fill", mask), filler.to(x.dtype), x)
    return chosen


def flip(input: Any, *args: Any, dims: Any = None) -> Tensor:
    """The order reversed along ``dims``, one or several; a copy.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.flip(nx.tensor([[1, 2], [3, 4]]), 1)
    tensor([[2, 1],
            [4, 3]])
    """
    x = as_tensor(input)
    named = given(args, dims)
    axes = axes_of("flip", named, x.ndim) if named else ()
    key = (*(slice(None, None, -1) if i in axes else slice(None) for i in range(x.ndim)), ...)

    def turned(a: Array) -> Array:
        y = result(a.shape, a)
        layout.copy_into(y, a[key])
        return y

    def vjp(g: Array) -> tuple[Array]:
        return (g[key],)

    return autograd.record("flip", turned(x._array), (x,), vjp)


def fliplr(input: Any) -> Tensor:
    """The columns, axis 1, in reverse order; a copy.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.fliplr(nx.tensor([[1, 2, 3], [4, 5, 6]]))
    tensor([[3, 2, 1],
            [6, 5, 4]])
    """
    return flip(input, 1)


def flipud(input: Any) -> Tensor:
    """The rows, axis 0, in reverse order; a copy.

    Raises
    ------
    ShapeError
        If there are no rows.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.flipud(nx.tensor([[1, 2], [3, 4]]))
    tensor([[3, 4],
            [1, 2]])
    """
    x = as_tensor(input)
    if not x.ndim:
        raise ShapeError("flipud: expected at least 1 axis, got a 0-d tensor; reshape it to (1,)")
    return flip(x, 0)


def rot90(input: Any, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by ``k`` quarters in the plane of two axes, from the first to the second: anticlockwise for rows and columns.

    Raises
    ------
    ArgumentError
        Unless ``dims`` names two different axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.rot90(nx.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    from neurenix.ops.shape import transpose

    x = as_tensor(input)
    axes = [axis_of("rot90", d, x.ndim) for d in dims]
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ArgumentError(f"rot90: expected two different axes, got dims={tuple(dims)}; name the plane to turn in")
    a, b = axes
    if k % 4 == 0:
        return flip(x)
    if k % 4 == 2:
        return flip(x, a, b)
    return flip(transpose(x, a, b), a) if k % 4 == 1 else transpose(flip(x, a), a, b)


def roll(input: Any, shifts: Any, dims: Any = None) -> Tensor:
    """Elements moved on by ``shifts`` along ``dims``, those beyond the end put in front; flattened without ``dims``.

    Raises
    ------
    ArgumentError
        If they are not equally many.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.roll(nx.arange(5), 2), nx.roll(nx.tensor([[1, 2], [3, 4]]), shifts=1, dims=0)
    (tensor([3, 4, 0, 1, 2]), tensor([[3, 4],
            [1, 2]]))
    """
    x = as_tensor(input)
    moves = tuple(shifts) if isinstance(shifts, (tuple, list)) else (shifts,)
    named = () if dims is None else tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    moves = tuple(integer("roll", "each shift", n, -(2**48)) for n in moves)
    if not named and len(moves) == 1:
        from neurenix.ops.shape import ravel, reshape

        return x if not x.ndim else reshape(_rolled(ravel(x), (0,), moves), x.shape)
    if len(moves) != len(named) or not moves or (named and not x.ndim):
        raise ArgumentError(f"roll: expected as many shifts as dims, got {moves} and {named}; give one shift a dim")
    return _rolled(x, tuple(axis_of("roll", d, x.ndim) for d in named), moves)


def _rolled(x: Tensor, axes: tuple[int, ...], moves: tuple[int, ...]) -> Tensor:
    def moved(a: Array, sign: int) -> Array:
        for axis, move in zip(axes, moves, strict=True):
            n = a.shape[axis]
            shift = sign * move % n if n else 0
            y = result(a.shape, a)
            lead = (slice(None),) * axis
            layout.copy_into(y[(*lead, slice(shift, None))], a[(*lead, slice(0, n - shift))])
            layout.copy_into(y[(*lead, slice(0, shift))], a[(*lead, slice(n - shift, None))])
            a = y
        return a

    def vjp(g: Array) -> tuple[Array]:
        return (moved(g, -1),)

    return autograd.record("roll", moved(x._array, 1), (x,), vjp)


def repeat(input: Any, *args: Any, repeats: Any = None) -> Tensor:
    """The whole tensor repeated so many times (``repeats``) along each axis, a copy; more numbers than axes put new ones in front.

    Raises
    ------
    ShapeError
        If there are fewer numbers than axes, or one is negative.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.repeat(nx.tensor([[1, 2]]), 2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    x = as_tensor(input)
    counts = given(args, repeats)
    if len(counts) < x.ndim or builtins.any(n < 0 for n in counts):
        raise ShapeError(f"repeat: expected at least {x.ndim} numbers of at least 0, got {counts}; give one an axis")
    shape = (1,) * (len(counts) - x.ndim) + x.shape
    spread = tuple(v for n in shape for v in (1, n))
    tiled = tuple(v for c, n in zip(counts, shape, strict=True) for v in (int(c), n))

    def vjp(g: Array) -> tuple[Array]:
        parts = layout.contiguous(g).reshape(tiled)
        return (fold(Fold.SUM, parts, tuple(range(0, 2 * len(shape), 2))).reshape(x.shape),)

    y = layout.contiguous(expanded(layout.contiguous(x._array).reshape(spread), tiled))
    if y is x._array:
        y = layout.copy(y)
    return autograd.record("repeat", y.reshape(tuple(c * n for c, n in zip(counts, shape, strict=True))), (x,), vjp)


def tile(input: Any, *args: Any, dims: Any = None) -> Tensor:
    """The tensor repeated so many times (``dims``) along its last axes; fewer numbers than axes leave the first ones alone.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.tile(nx.tensor([[1, 2], [3, 4]]), 2).shape
    (2, 4)
    """
    x = as_tensor(input)
    counts = given(args, dims)
    return repeat(x, (1,) * (x.ndim - len(counts)) + tuple(counts))


def repeat_interleave(input: Any, repeats: Any, dim: int | None = None, *, output_size: int | None = None) -> Tensor:
    """Each slice along ``dim`` so many times, one after the other; flattened without ``dim``.

    ``repeats`` may be a vector, one number a slice. ``output_size`` is checked.

    Raises
    ------
    ShapeError
        If there are not as many numbers as slices, or they do not sum to ``output_size``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.repeat_interleave(nx.tensor([1, 2]), 2), nx.repeat_interleave(nx.tensor([1, 2]), nx.tensor([3, 1]))
    (tensor([1, 1, 2, 2]), tensor([1, 1, 1, 2]))
    """
    from neurenix.ops.scatter import index_select
    from neurenix.ops.shape import ravel

    x = ravel(input) if dim is None else as_tensor(input)
    at = axis_of("repeat_interleave", 0 if dim is None else dim, x.ndim)
    n = x.shape[at]
    counts = repeats.numpy().ravel() if isinstance(repeats, Tensor) else np.asarray(repeats).ravel()
    if counts.dtype.kind not in "iu" or counts.size not in (1, n) or (counts < 0).any():
        raise ShapeError(f"repeat_interleave: expected 1 or {n} whole numbers of at least 0, got {counts.tolist()}; give one a slice")
    places = np.repeat(np.arange(n), np.broadcast_to(counts, n))
    if output_size is not None and places.size != output_size:
        raise ShapeError(f"repeat_interleave: expected repeats that sum to {output_size}, got {places.size}; leave output_size out")
    return index_select(x, at, Tensor(places, device=x.device))
