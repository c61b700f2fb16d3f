"""Resizing by separable tables: one kernel for every mode, window and gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.backend.kernel import In, Index, Optional, Out, Size, kernel
from neurenix.errors import ArgumentError, ShapeError
from neurenix.memory import require_room
from neurenix.ops import _sampling_tables as sampling
from neurenix.ops._arguments import choice, floats, integer
from neurenix.ops._axis import Host, Table, identity, picks, place, placed
from neurenix.ops._frame import Frame, frame
from neurenix.tensor import Tensor, as_tensor
from neurenix.window_rules import Enlarged, Local, Rules

MODES = ("nearest", "linear", "bilinear", "bicubic", "trilinear", "area", "nearest-exact")
_AXES = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


@kernel("floats")
def resize(
    y: Out, x: In, row_start: Index, row_index: Index, row_weight: In, col_start: Index, col_index: Index, col_weight: In,
    row_divisor: Optional[In], col_divisor: Optional[In], outer: Size, h: Size, w: Size, inner: Size, oh: Size, ow: Size,
) -> None:  # fmt: skip
    """y[o, i, j, c] = sum over k, l of row_weight[k] col_weight[l] x[o, row_index[k], col_index[l], c].

    k runs from row_start[i] to row_start[i + 1], l from col_start[j] to col_start[j + 1]; rows are combined first. Where
    divisors are given the sum is divided by row_divisor[i] * col_divisor[j].
    """


def _passes(f: Frame, tables: Sequence[Table], divisors: Sequence[Host] | None) -> Array:
    """Apply one table an axis: the last two axes at once, one before them in a second pass."""
    buffer, sizes = f.buffer, list(f.spatial)
    outputs = [len(t.start) - 1 for t in tables]
    if len(sizes) == 1:
        sizes, outputs, tables = [1, *sizes], [1, *outputs], [identity(1), *tables]
        divisors = None if divisors is None else [np.ones(1), *divisors]
    inner = f.channels
    depth = sizes[0] if len(sizes) == 3 else 1
    y = f.new((*sizes[:-2], *outputs[-2:])) if len(f.spatial) > 1 else f.new((outputs[-1],))
    run_tables(y, buffer, tables[-2:], None if divisors is None else divisors[-2:], (f.outer * depth, *sizes[-2:], inner, *outputs[-2:]))
    if len(sizes) == 3:
        buffer, y = y, f.new(tuple(outputs))
        inner *= outputs[1] * outputs[2]
        scale = None if divisors is None else [divisors[0], np.ones(1)]
        run_tables(y, buffer, [tables[0], identity(1)], scale, (f.outer, depth, 1, inner, outputs[0], 1))
    return y


def run_tables(y: Array, x: Array, tables: Sequence[Table], divisors: Sequence[Host] | None, sizes: tuple[int, ...]) -> None:
    """y = x (outer, h, w, inner) through a table of rows and one of columns."""
    device, name = backend.device_of(x), x.dtype.name
    ends = (None, None) if divisors is None else tuple(placed(d, name, device) for d in divisors)
    resize(y, x, *place(tables[0], x), *place(tables[1], x), *ends, *sizes)


def apply_tables(op: str, x: Tensor, tables: Sequence[Table], divisors: Sequence[Host] | None = None, local: Local | None = None) -> Tensor:
    """Every spatial axis through its table, then divided; the gradient goes through the transposed tables."""
    f = frame(x._array, len(tables))
    y = _passes(f, tables, divisors)
    f = f.without_map()

    def vjp(g: Array) -> tuple[Array]:
        outputs = tuple(len(t.start) - 1 for t in tables)
        back = [_shared(t, None if divisors is None else divisors[a]).transposed(f.spatial[a]) for a, t in enumerate(tables)]
        return (f.logical(_passes(f._replace(buffer=f.buffer_of(g), spatial=outputs), back, None)),)

    return autograd.record(op, f.logical(y), (x,), vjp, local)


def _shared(table: Table, divisor: Host | None) -> Table:
    """The table with its output's divisor in the weights."""
    if divisor is None:
        return table
    return table._replace(weight=table.weight / np.repeat(divisor, np.diff(table.start)))


def _sizes(op: str, x: Tensor, size: Any, scale_factor: Any, recompute: bool | None) -> tuple[list[int], list[float | None]]:
    """The output's sizes, and the factors that coordinates follow (None where they follow the sizes)."""
    n = x.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ArgumentError(f"{op}: expected either size or scale_factor, got {'neither' if size is None else 'both'}; pass one of them")
    if size is not None:
        if recompute:
            raise ArgumentError(f"{op}: expected recompute_scale_factor only with scale_factor, got size={size!r}; leave it out")
        values = list(size) if isinstance(size, Sequence) else [size] * n
        if len(values) != n:
            raise ShapeError(f"{op}: expected size as one number or {n}, got {size!r}; pass one for each spatial axis of {x.shape}")
        return [integer(op, "size", v, 1) for v in values], [None] * n
    factors = list(scale_factor) if isinstance(scale_factor, Sequence) else [scale_factor] * n
    if len(factors) != n:
        raise ShapeError(
            f"{op}: expected scale_factor as one number or {n}, got {scale_factor!r}; pass one for each spatial axis of {x.shape}"
        )
    if not all(isinstance(s, (int, float, np.number)) and not isinstance(s, bool) and math.isfinite(s) and s > 0 for s in factors):
        raise ArgumentError(f"{op}: expected a positive scale_factor, got {scale_factor!r}; pass e.g. scale_factor=2.0")
    sizes = [math.floor(float(length) * float(s)) for length, s in zip(x.shape[2:], factors, strict=True)]
    if min(sizes, default=1) < 1:
        raise ShapeError(
            f"{op}: expected an output of at least one pixel an axis, got {tuple(sizes)} from {x.shape}; use a larger scale_factor"
        )
    return sizes, [None if recompute else float(s) for s in factors]


def _nearest(op: str, x: Tensor, sizes: list[int], scales: list[float | None], exact: bool) -> Tensor:
    """Nearest pixels are moved, not computed: any element type, and no weight touches an infinity."""
    how = (exact, x.dtype != np.float64, x.ndim == 4)
    index = [sampling.nearest(n, out, scale, *how) for n, out, scale in zip(x.shape[2:], sizes, scales, strict=True)]
    return take_nearest(op, x, index, lambda: _local(scales, "nearest"))


def take_nearest(op: str, x: Tensor, index: Sequence[Host], local: Local) -> Tensor:
    """The pixels of these numbers along each spatial axis."""
    from neurenix.ops.padding import take_axes

    f = frame(x._array, len(index))
    y = take_axes(f, index, 0)
    f = f.without_map()

    def vjp(g: Array) -> tuple[Array]:
        back = [picks(i).transposed(f.spatial[a]) for a, i in enumerate(index)]
        sizes = tuple(len(i) for i in index)
        return (f.logical(_passes(f._replace(buffer=f.buffer_of(g), spatial=sizes), back, None)),)

    return autograd.record(op, f.logical(y), (x,), vjp, local)


def _local(scales: Sequence[float | None], mode: str, align: bool = False, antialias: bool = False) -> Rules | None:
    """Where the pixels of a map enlarged by powers of two come from: their weights are the same numbers at every place."""
    if len(scales) != 2 or align or antialias or any(s is None or s < 1 or math.frexp(s)[0] != 0.5 for s in scales):
        return None
    taps = {"nearest": (0, 0), "bilinear": (0, 1), "bicubic": (1, 2)}[mode]
    rows, columns = (Enlarged(int(s or 1), mode != "nearest", *taps) for s in scales)
    return rows, columns


def _tables(mode: str, align: bool, antialias: bool) -> Callable[[int, int, float | None], Table]:
    cubic = mode == "bicubic"
    if antialias:
        return lambda size, out, scale: sampling.antialiased(size, out, align, scale, cubic)
    rule = sampling.cubic if cubic else sampling.linear
    return lambda size, out, scale: rule(size, out, align, scale)


def _check_mode(op: str, x: Tensor, mode: str, align_corners: bool | None, antialias: bool) -> None:
    choice(op, "mode", mode, MODES)
    if x.ndim not in (3, 4, 5):
        raise ShapeError(
            f"{op}: expected x (N, C, L), (N, C, H, W) or (N, C, D, H, W), got shape {x.shape}; add the batch axis with x.unsqueeze(0)"
        )
    if _AXES.get(mode, x.ndim - 2) != x.ndim - 2:
        fit = {3: "linear", 4: "bilinear", 5: "trilinear"}[x.ndim]
        raise ArgumentError(f"{op}: expected a mode for {x.ndim - 2} spatial axes, got {mode!r} for shape {x.shape}; use mode={fit!r}")
    if align_corners is not None and mode not in _AXES:
        raise ArgumentError(f"{op}: expected align_corners only with the linear and cubic modes, got it with {mode!r}; leave it out")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ArgumentError(f"{op}: expected antialias only with 'bilinear' and 'bicubic', got it with {mode!r}; leave it out")
    if 0 in x.shape[1:]:
        raise ShapeError(f"{op}: expected channels and spatial axes that are not empty, got shape {x.shape}; pass at least one pixel")


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resample to ``size``, or by ``scale_factor``.

    Parameters
    ----------
    input : Tensor, shape (N, C, L), (N, C, H, W) or (N, C, D, H, W)
        Any memory order, which the output keeps; nearest modes take any element type.
    size : int or sequence of int, optional
        Output sizes in pixels, each at least 1.
    scale_factor : float or sequence of float, optional
        Instead: output sizes are ``floor(size * scale_factor)``.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"}
        Nearest takes pixel ``floor(i * scale)``, nearest-exact ``floor((i + 0.5) * scale)``; cubic is Keys' with a = -0.75;
        area averages adaptive bins. As in PyTorch, an axis that keeps its size is copied whatever ``scale_factor`` was (linear modes,
        antialiased ones, nearest of images), and nearest doubles an image's axis that becomes twice as long.
    align_corners : bool, optional
        Whether the corner pixels' centres meet; otherwise output pixel ``i`` samples ``(i + 0.5) * scale - 0.5``.
    recompute_scale_factor : bool, optional
        Whether coordinates follow the rounded sizes' ratio rather than ``scale_factor``.
    antialias : bool
        Stretch the bilinear or bicubic filter when shrinking.

    Returns
    -------
    Tensor, shape (N, C, OH, OW), dtype and device of ``input``

    Raises
    ------
    ShapeError
        If ``input`` has other axes or is empty.
    ArgumentError
        If the arguments do not go together.

    Notes
    -----
    Gradient: the transpose of the same sampling, gathered (deterministic). Cost: O(N C OH OW); no copy of ``input``.

    References
    ----------
    .. [1] R. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP 29, 1981.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> nx.nn.functional.interpolate(x, size=(2, 4), mode="bilinear").numpy()[0, 0]
    array([[1.  , 1.25, 1.75, 2.  ],
           [3.  , 3.25, 3.75, 4.  ]], dtype=float32)
    """
    op = "interpolate"
    x = as_tensor(input)
    _check_mode(op, x, mode, align_corners, antialias)
    sizes, scales = _sizes(op, x, size, scale_factor, recompute_scale_factor)
    require_room(op, (*x.shape[:2], *sizes), x.dtype.itemsize)
    if mode in ("nearest", "nearest-exact"):
        return _nearest(op, x, sizes, scales, mode == "nearest-exact")
    x = floats(op, input)
    if mode == "area":
        from neurenix.ops.adaptive_pooling import bins_of
        from neurenix.ops.pooling import average_windows

        return average_windows(op, x, bins_of(op, x, sizes, len(sizes)))
    rule = _tables(mode, bool(align_corners), antialias)
    tables = [rule(n, m, s) for n, m, s in zip(x.shape[2:], sizes, scales, strict=True)]
    return apply_tables(op, x, tables, local=lambda: _local(scales, mode, bool(align_corners), antialias))


upsample = interpolate  # its old name


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Resample by the nearest pixel; see :func:`interpolate`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.upsample_nearest(nx.tensor([[[[1.0, 2.0]]]]), scale_factor=2)
    tensor([[[[1., 1., 2., 2.],
              [1., 1., 2., 2.]]]])
    """
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Resample bilinearly, corners aligned; see :func:`interpolate`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.upsample_bilinear(nx.tensor([[[[0.0, 3.0]]]]), size=(1, 4))
    tensor([[[[0., 1., 2., 3.]]]])
    """
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)
