"""Convolutions and their transposes over one or two spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import Any, NamedTuple, TypeAlias

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.layout import channels_last, contiguous
from neurenix.ops._arguments import floats, integer, integers, is_plain
from neurenix.ops._conv import Epilogue, Window, cell, run, sum_pixels, weight_gradient
from neurenix.ops._half import in_half
from neurenix.tensor import Tensor, as_tensor
from neurenix.window_rules import Rules, Scattering, Sliding

Operands: TypeAlias = tuple[Tensor, Tensor, Tensor | None]
Shapes: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...] | None]  # of these
_AXES = {1: "L", 2: "H, W", 3: "D, H, W"}


class Form(NamedTuple):
    """What a map's shape lacks of (N, C, H, W), or of (N, C, D, H, W)."""

    ndim: int
    batched: bool

    def buffer(self, x: Array) -> Array:
        """The dense (N, H, W, C) buffer of an array of this form, of a volume (N, D, H, W, C)."""
        x = x if self.batched else x[None]
        return channels_last(x[:, :, None] if self.ndim == 1 else x)

    def logical(self, buffer: Array) -> Array:
        """The array of this form over such a buffer."""
        y = buffer.transpose(0, buffer.ndim - 1, *range(1, buffer.ndim - 1))
        y = y[:, :, 0] if self.ndim == 1 else y
        return y if self.batched else y[0]


def operands(op: str, x: Any, weight: Any, bias: Any) -> Operands:
    """Input, weight and bias as tensors of one float type on one device."""
    t, w = floats(op, x), floats(op, weight)
    b = None if bias is None else as_tensor(bias, t)
    for name, other in (("weight", w), ("bias", b)):
        if other is None:
            continue
        if other.dtype != t.dtype:
            raise DTypeError(f"{op}: expected {name} of {t.dtype} like the input, got {other.dtype}; convert one with .to(dtype)")
        backend.same_device(op, t._array, other._array)
    return t, w, b


def _form(op: str, ndim: int, shapes: Shapes, channels: tuple[int, int]) -> Form:
    """The input's form, once all shapes fit; ``channels`` are those that the weight takes and gives."""
    axes, (taken, given), (x, w, b) = _AXES[ndim], channels, shapes
    if len(x) not in (ndim + 1, ndim + 2):
        raise ShapeError(f"{op}: expected x (N, C, {axes}) or (C, {axes}), got shape {x}; reshape it")
    got = x[-ndim - 1]
    if got != taken:
        hint = f"pass in_channels={got} or select {taken} channels"
        raise ShapeError(f"{op}: expected x with {taken} channels (weight is {w}), got {x}; {hint}")
    if b is not None and b != (given,):
        raise ShapeError(f"{op}: expected bias of shape ({given},) (weight is {w}), got {b}; give one value an output channel")
    return Form(ndim, len(x) == ndim + 2)


def _groups(op: str, ndim: int, w: tuple[int, ...], groups: Any) -> int:
    if len(w) != ndim + 2 or 0 in w[2:]:
        raise ShapeError(f"{op}: expected a weight with {ndim + 2} axes and a kernel of at least 1, got shape {w}; reshape it")
    number = integer(op, "groups", groups, 1)
    if w[0] % number:
        raise ArgumentError(f"{op}: expected groups that divide the {w[0]} channels of the weight, got {number}; pass a divisor")
    return number


def zeros_around(op: str, padding: Any, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> list[tuple[int, int]]:
    """Zeros before and behind each axis: from numbers, "valid" or "same" (an odd one comes behind)."""
    ndim = len(kernel)
    if padding == "valid":
        return [(0, 0)] * ndim
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ArgumentError(f'{op}: expected stride 1 with padding="same", got {tuple(stride)}; pass padding as numbers')
        return [(d * (k - 1) // 2, d * (k - 1) - d * (k - 1) // 2) for k, d in zip(kernel, dilation, strict=True)]
    if isinstance(padding, str):
        raise ArgumentError(f'{op}: expected padding as numbers, "valid" or "same", got {padding!r}; pass one of them')
    return [(p, p) for p in integers(op, "padding", padding, ndim, 0)]


def _two(values: tuple[int, ...], row: int) -> tuple[int, int]:
    return (row, values[0]) if len(values) == 1 else (values[-2], values[-1])


class Fit(NamedTuple):
    """A convolution whose arguments fit: form of the input, windows one number an axis, size of the output."""

    form: Form
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]  # before the first pixel
    behind: tuple[int, ...]  # and behind the last
    dilation: tuple[int, ...]
    groups: int
    size: tuple[int, ...]

    def local(self, scatter: bool, cell: int) -> Rules | None:
        """Where the outputs of a convolution over two axes, or of its transpose, come from, ``cell`` of them rounding together."""
        if self.form.ndim != 2:
            return None
        reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True)]
        if cell > 1:  # at stride 1 the transpose slides too, over as many zeros as make up for its own
            around = zip(self.pad, self.behind, reach, strict=True)
            down, across = (Sliding(1, r - a if scatter else a, r - b if scatter else b, r, grid=cell) for a, b, r in around)
            return down, across
        rule = Scattering if scatter else Sliding
        rows, columns = (rule(*axis) for axis in zip(self.stride, self.pad, self.behind, reach, strict=True))
        return rows, columns

    @property
    def window(self) -> Window:
        """The windows over the last two axes, a missing row axis added."""
        return _window(self)


@lru_cache(maxsize=1024)
def _window(fit: Fit) -> Window:
    return Window(_two(fit.kernel, 1), _two(fit.stride, 1), _two(fit.pad, 0), _two(fit.dilation, 1), fit.groups)


def _remembered(find: Callable[..., Fit]) -> Callable[..., Fit]:
    """``find`` of an operation's operands, by their shapes; what it found is remembered, since a network asks the same again and again."""
    known = lru_cache(maxsize=1024)(find)

    @wraps(find)
    def found(op: str, ndim: int, operands: Operands, *args: Any) -> Fit:
        x, w, b = operands
        shapes = (x._array.shape, w._array.shape, None if b is None else b._array.shape)
        return (known if all(map(is_plain, args)) else find)(op, ndim, shapes, *args)

    return found


def _record(op: str, operands: Operands, fit: Fit, scatter: bool) -> Tensor:
    """Run a convolution or its transpose; the other one is its gradient."""
    x, w, b = operands
    form, window, size = fit.form, fit.window, fit.size
    source = form.buffer(x._array)
    to = (1, size[0]) if form.ndim == 1 else (size[0], size[1])
    y = run(source, w, window, to, scatter, Epilogue(None if b is None else contiguous(b._array)))
    needs, inputs = (x.requires_grad, w.requires_grad, b is not None and b.requires_grad), (x, w) if b is None else (x, w, b)
    back, kept = source.shape[1:3], source if needs[1] else None

    def vjp(g: Array) -> list[Array | None]:
        dy = form.buffer(g)
        dx = form.logical(run(dy, w, window, back, not scatter)) if needs[0] else None
        dw = None
        if kept is not None:
            dw = weight_gradient(kept, dy, w, window) if scatter else weight_gradient(dy, kept, w, window)
        gradients = (dx, dw, sum_pixels(dy) if needs[2] else None)
        return [gradient for gradient, t in zip(gradients, operands, strict=True) if t is not None]

    return autograd.record(op, form.logical(y), inputs, vjp, lambda: fit.local(scatter, cell(source, w, window, scatter)))


@_remembered
def fit(op: str, ndim: int, shapes: Shapes, stride: Any, padding: Any, dilation: Any, groups: Any) -> Fit:
    """Check a convolution's arguments."""
    x, w, _ = shapes
    number = _groups(op, ndim, w, groups)
    form = _form(op, ndim, shapes, (w[1] * number, w[0]))
    kernel, sizes = w[2:], x[-ndim:]
    steps, spread = integers(op, "stride", stride, ndim, 1), integers(op, "dilation", dilation, ndim, 1)
    zeros = zeros_around(op, padding, kernel, steps, spread)
    size = []
    for n, k, s, d, (low, high) in zip(sizes, kernel, steps, spread, zeros, strict=True):
        reach = d * (k - 1) + 1
        if n + low + high < reach:
            raise ShapeError(
                f"{op}: expected an input of at least {reach} with its padding (kernel {tuple(kernel)}, dilation {spread}), got {n + low + high}"
                f" ({x}, padding {padding!r}); pass a larger input or padding"
            )
        size.append((n + low + high - reach) // s + 1)
    return Fit(form, kernel, steps, tuple(low for low, _ in zeros), tuple(high for _, high in zeros), spread, number, tuple(size))


@_remembered
def fit_transposed(op: str, ndim: int, shapes: Shapes, stride: Any, padding: Any, output_padding: Any, groups: Any, dilation: Any) -> Fit:
    """Check a transposed convolution's arguments."""
    x, w, _ = shapes
    number = _groups(op, ndim, w, groups)
    form = _form(op, ndim, shapes, (w[0], w[1] * number))
    kernel, sizes = w[2:], x[-ndim:]
    steps, spread = integers(op, "stride", stride, ndim, 1), integers(op, "dilation", dilation, ndim, 1)
    pad, extra = integers(op, "padding", padding, ndim, 0), integers(op, "output_padding", output_padding, ndim, 0)
    size = []
    for n, k, s, d, p, e in zip(sizes, kernel, steps, spread, pad, extra, strict=True):
        if e >= max(s, d):
            raise ArgumentError(f"{op}: expected output_padding below stride or dilation ({steps}, {spread}), got {extra}; pass less")
        size.append((n - 1) * s - 2 * p + d * (k - 1) + e + 1)
    if min(size) < 1:
        raise ShapeError(f"{op}: expected an output of at least 1 pixel, got {tuple(size)} from {x}; pass less padding")
    behind = tuple(p - e for p, e in zip(pad, extra, strict=True))
    return Fit(form, kernel, steps, pad, behind, spread, number, tuple(size))


def _convolution(op: str, ndim: int, input: Any, weight: Any, bias: Any, *args: Any) -> Tensor:
    tensors = operands(op, input, weight, bias)
    fitted = fit(op, ndim, tensors, *args)
    return in_half(lambda *given: _record(op, given, fitted, False), *tensors)


def _transposed(op: str, ndim: int, input: Any, weight: Any, bias: Any, *args: Any) -> Tensor:
    tensors = operands(op, input, weight, bias)
    fitted = fit_transposed(op, ndim, tensors, *args)
    return in_half(lambda *given: _record(op, given, fitted, True), *tensors)


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve along one axis: (N, C, L) with a weight (K, C / groups, kL); see :func:`conv2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.conv1d(nx.tensor([[1.0, 2.0, 4.0]]), nx.tensor([[[1.0, -1.0]]])).tolist()
    [[-1.0, -2.0]]
    """
    return _convolution("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve a map with a window of weights.

    ``y[n, k, i, j] = bias[k] + sum over c, a, b of x[n, c, i * stride + a * dilation - padding, ...] * weight[k, c, a, b]``.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
        float32 or float64, any memory order.
    weight : Tensor, shape (K, C / groups, kH, kW)
    bias : Tensor, shape (K,), optional
    stride, dilation : int or (int, int)
        At least 1.
    padding : int, (int, int), "valid" or "same"
        Zeros on every side; "same" keeps the size at stride 1, an odd zero comes at the bottom and right.
    groups : int
        Channels are cut into this many groups, each with its own outputs.

    Returns
    -------
    Tensor, shape (N, K, OH, OW) or (K, OH, OW), ``OH = (H + 2 * padding - dilation * (kH - 1) - 1) // stride + 1``
        Dtype and device of ``input``.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If sizes, element types or arguments do not fit.

    Notes
    -----
    A sum runs over the window and 64 channels in a fixed order; the bits depend neither on the batch nor on threads. On a CPU 3x3
    windows at stride 1 with many channels are computed by Winograd's algorithm: see :func:`~neurenix.set_float32_precision`.
    Gradients: the transpose of the same windows, and sums of outer products over fixed units of pixels.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    >>> nx.nn.functional.conv2d(x, nx.tensor([[[[1.0, 10.0]]]]), padding="same").tolist()
    [[[21.0, 2.0], [43.0, 4.0]]]
    """
    return _convolution("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Transpose of :func:`conv1d`: (N, C, L) with a weight (C, K / groups, kL); see :func:`conv_transpose2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> signal, kernel = nx.tensor([[[1.0, 2.0]]]), nx.tensor([[[1.0, 10.0]]])
    >>> nx.nn.functional.conv_transpose1d(signal, kernel, stride=2)
    tensor([[[ 1., 10.,  2., 20.]]])
    """
    return _transposed("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Spread each pixel over a window of weights: the transpose of :func:`conv2d`, e.g. to double a map's size.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
    weight : Tensor, shape (C, K / groups, kH, kW)
    bias : Tensor, shape (K,), optional
    stride, dilation : int or (int, int)
        Step between windows, and between the weights of one.
    padding : int or (int, int)
        Pixels that are cut off on every side.
    output_padding : int or (int, int)
        Pixels added at the bottom and right; below stride or dilation.
    groups : int

    Returns
    -------
    Tensor, shape (N, K, OH, OW) or (K, OH, OW)
        ``OH = (H - 1) * stride - 2 * padding + dilation * (kH - 1) + output_padding + 1``.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If sizes, element types or arguments do not fit.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[1.0, 2.0]]])
    >>> nx.nn.functional.conv_transpose2d(x, nx.tensor([[[[1.0, 10.0]]]]), stride=2).tolist()
    [[[1.0, 10.0, 2.0, 20.0]]]
    """
    return _transposed("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)
