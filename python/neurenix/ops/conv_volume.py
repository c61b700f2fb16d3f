"""Convolutions of volumes and their transposes.

A convolution of a volume is one of its planes, whose channels are those of the planes that a window meets: windows over
depth are *folded* into channels, and what a transpose gives is unfolded again. So volumes use the kernels of maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.backend.kernel import Enum, In, Optional, Out, Size, kernel
from neurenix.layout import accumulate, contiguous, copy_into
from neurenix.ops._conv import PLAIN, Epilogue, run, sum_pixels, weight_gradient
from neurenix.ops._derived import derived
from neurenix.ops._half import in_half
from neurenix.ops.conv import Fit, Operands, fit, fit_transposed, operands
from neurenix.ops.elementwise import expanded, filled
from neurenix.tensor import Tensor

SLAB = 1 << 21  # elements of folded planes that are made at a time


@kernel("floats")
def convolve_depthwise_volume(
    y: Out,
    x: In,
    weight: In,
    bias: Optional[In],
    n: Size,
    d: Size,
    h: Size,
    w: Size,
    od: Size,
    oh: Size,
    ow: Size,
    channels: Size,
    kd: Size,
    kh: Size,
    kw: Size,
    stride_d: Size,
    stride_h: Size,
    stride_w: Size,
    pad_d: Size,
    pad_h: Size,
    pad_w: Size,
    dilation_d: Size,
    dilation_h: Size,
    dilation_w: Size,
    scatter: Enum,
) -> None:
    """y[n, o, c] = bias[c] + sum over taps of x[n, i, c] * weight[c, 0, tap], along each axis i = o * stride + t * dilation - pad,
    for scatter = 1 o and i change places.
    """


class Planes(NamedTuple):
    """Windows over depth: plane ``o`` of the small volume meets planes ``o * stride + tap * dilation - pad`` of the large one."""

    taps: int
    stride: int
    pad: int
    dilation: int
    groups: int

    def alone(self) -> bool:
        """Whether each plane meets itself only."""
        return (self.taps, self.stride, self.pad) == (1, 1, 0)

    def met(self, tap: int, large: int, planes: slice) -> tuple[slice, slice]:
        """The planes among ``planes`` whose ``tap`` lies inside ``large`` planes, counted from the first, and those that it meets."""
        shift = tap * self.dilation - self.pad
        first = min(max(planes.start, -(shift // self.stride)), planes.stop)
        last = max(min(planes.stop, (large - 1 - shift) // self.stride + 1), first)
        start = first * self.stride + shift
        stop = start + (last - first - 1) * self.stride + 1 if last > first else start
        return slice(first - planes.start, last - planes.start), slice(start, stop, self.stride)


def _slabs(images: int, planes: int, elements: int) -> Iterator[tuple[slice, slice]]:
    """Whole images, or planes of one, whose folded planes have about :data:`SLAB` elements, ``elements`` each."""
    some = max(SLAB // max(elements, 1), 1)
    together = some // max(planes, 1)
    for first in range(0, max(images, 1), max(together, 1)):
        chosen = slice(first, min(first + max(together, 1), images))
        step = max(planes, 1) if together else some
        for start in range(0, max(planes, 1), step):
            yield chosen, slice(start, min(start + step, planes))


def _maps(volume: Array) -> Array:
    """The planes of a dense buffer (N, D, H, W, C) as maps (N * D, H, W, C)."""
    n, d, *plane = volume.shape
    return volume.reshape(n * d, *plane)


def _folded(x: Array, windows: Planes, slab: tuple[slice, slice]) -> Array:
    """The planes (M, H, W, groups * taps * C) that a slab's windows meet, zeros outside."""
    images, planes = slab
    part = x[images]
    n, d, h, w, c = part.shape
    count, each = planes.stop - planes.start, c // windows.groups
    if windows.alone() and (n == 1 or d == count):
        return _maps(part[:, planes])
    pairs = [windows.met(tap, d, planes) for tap in range(windows.taps)]
    shape = (n, count, h, w, windows.groups, windows.taps, each)
    full = all(here.stop - here.start == count for here, _ in pairs)
    y = backend.new(x, shape) if full else filled(x, shape, 0.0)
    source = part.reshape(n, d, h, w, windows.groups, each)
    for tap, (here, there) in enumerate(pairs):
        copy_into(y[:, here, ..., tap, :], source[:, there])
    return y.reshape(n * count, h, w, windows.taps * c)


def _unfold_into(y: Array, folded: Array, windows: Planes, slab: tuple[slice, slice]) -> None:
    """Add the planes that a slab's windows give to the volume ``y``, one tap after the other."""
    images, planes = slab
    part = y[images]
    n, d, h, w, c = part.shape
    total = part.reshape(n, d, h, w, windows.groups, c // windows.groups)
    source = folded.reshape(n, planes.stop - planes.start, h, w, windows.groups, windows.taps, c // windows.groups)
    for tap in range(windows.taps):
        here, there = windows.met(tap, d, planes)
        accumulate(total[:, there], source[:, here, ..., tap, :])


def _planes(fit: Fit) -> Planes:
    return Planes(fit.kernel[0], fit.stride[0], fit.pad[0], fit.dilation[0], fit.groups)


class _Volume(NamedTuple):
    """A convolution of volumes: planes' windows, the windows in a plane, the folded weight (first, taps * second, kH, kW)."""

    fit: Fit
    weight: Tensor

    @property
    def planes(self) -> Planes:
        return _planes(self.fit)

    def _slabs(self, small: Array, large: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
        """Slabs of the volume whose pixels are windows; ``large`` is the shape of the volume that they lie in."""
        return _slabs(small.shape[0], small.shape[1], large[2] * large[3] * large[4] * self.fit.kernel[0])

    def gather(self, x: Array, size: tuple[int, ...], end: Epilogue = PLAIN) -> Array:
        """Convolve: windows lie in ``x``."""
        y = backend.new(x, (x.shape[0], *size, self.weight.shape[0]))
        for slab in self._slabs(y, x.shape):
            part = _maps(y[slab])
            run(_folded(x, self.planes, slab), self.weight, self.fit.window, y.shape[2:4], False, end, part)
        return y

    def scatter(self, x: Array, size: tuple[int, ...], end: Epilogue = PLAIN) -> Array:
        """Spread: windows lie in the result."""
        k = self.weight.shape[1] // self.fit.kernel[0] * self.fit.groups
        shape = (x.shape[0], *size, k)
        if self.planes.alone() and size[0] == x.shape[1]:
            plane = run(_maps(x), self.weight, self.fit.window, (size[1], size[2]), True, end)
            return plane.reshape(shape)
        y = filled(x, shape, 0.0)
        for slab in self._slabs(x, shape):
            part = _maps(x[slab])
            _unfold_into(y, run(part, self.weight, self.fit.window, (size[1], size[2]), True), self.planes, slab)
        if end.bias is not None:
            accumulate(y, expanded(end.bias, shape))
        return y

    def weight_gradient(self, small: Array, large: Array) -> Array:
        """The gradient of the weight (first, second, kD, kH, kW) from the volume at window positions and that they lie in."""

        def part(slab: tuple[slice, slice]) -> Array:
            planes = _maps(small[slab])
            return weight_gradient(planes, _folded(large, self.planes, slab), self.weight, self.fit.window)

        slabs = self._slabs(small, large.shape)
        total = part(next(slabs))
        for slab in slabs:
            accumulate(total, part(slab))
        first, folded, *kernel = self.weight.shape
        taps = self.fit.kernel[0]
        return contiguous(total.reshape(first, taps, folded // taps, *kernel).transpose(0, 2, 1, 3, 4))


class _Depthwise(NamedTuple):
    """As :class:`_Volume` where each channel has its own window: nothing to fold, one sum over the window's taps."""

    fit: Fit
    weight: Tensor

    def _run(self, x: Array, size: tuple[int, ...], scatter: bool, end: Epilogue) -> Array:
        n, d, h, w, c = x.shape
        y = backend.new(x, (n, *size, c))
        f, values = self.fit, contiguous(self.weight._array)
        numbers = (n, d, h, w, *size, c, *f.kernel, *f.stride, *f.pad, *f.dilation, int(scatter))
        convolve_depthwise_volume(y, x, values, end.bias, *numbers)
        return y

    def gather(self, x: Array, size: tuple[int, ...], end: Epilogue = PLAIN) -> Array:
        """Convolve: windows lie in ``x``."""
        return self._run(x, size, False, end)

    def scatter(self, x: Array, size: tuple[int, ...], end: Epilogue = PLAIN) -> Array:
        """Spread: windows lie in the result."""
        return self._run(x, size, True, end)

    def weight_gradient(self, small: Array, large: Array) -> Array:
        """The gradient of the weight (C, 1, kD, kH, kW)."""
        dw = backend.new(small, (small.shape[4], 1, *self.fit.kernel))
        for tap, weight in enumerate(_taps(self.weight)):
            here, there = _planes(self.fit).met(tap, large.shape[1], slice(0, small.shape[1]))
            first, second = contiguous(small[:, here]), contiguous(large[:, there])
            copy_into(dw[:, :, tap], weight_gradient(_maps(first), _maps(second), weight, self.fit.window))
        return dw


def _taps(weight: Tensor) -> list[Tensor]:
    """The parts (C, 1, kH, kW) of a weight (C, 1, kD, kH, kW), kept until it changes."""
    return derived(weight, "taps", lambda: [Tensor._wrap(contiguous(weight._array[:, :, tap])) for tap in range(weight.shape[2])])


def _folded_weight(weight: Tensor) -> Tensor:
    """A weight (first, second, kD, kH, kW) as (first, kD * second, kH, kW), kept until it changes."""

    def make() -> Tensor:
        first, second, *kernel = weight.shape
        turned = contiguous(weight._array.transpose(0, 2, 1, 3, 4))
        return Tensor._wrap(turned.reshape(first, kernel[0] * second, *kernel[1:]))

    return derived(weight, "planes", make)


def _volume(fit: Fit, weight: Tensor) -> _Volume | _Depthwise:
    alone = fit.groups > 1 and (fit.groups, 1) == weight.shape[:2]
    return _Depthwise(fit, weight) if alone else _Volume(fit, _folded_weight(weight))


def _record(op: str, operands: Operands, fit: Fit, scatter: bool) -> Tensor:
    """Run a convolution or its transpose; the other one is its gradient."""
    x, w, b = operands
    volume = _volume(fit, w)
    source = fit.form.buffer(x._array)
    end = Epilogue(None if b is None else contiguous(b._array))
    y = (volume.scatter if scatter else volume.gather)(source, fit.size, end)
    needs = tuple(t is not None and t.requires_grad for t in operands)
    inputs = tuple(t for t in operands if t is not None)
    back, kept = source.shape[1:4], source if needs[1] else None

    def vjp(g: Array) -> list[Array | None]:
        dy, dx, dw = fit.form.buffer(g), None, None
        volume = _volume(fit, w)  # made anew: a graph holds no copies of weights
        if needs[0]:
            dx = fit.form.logical((volume.gather if scatter else volume.scatter)(dy, back))
        if kept is not None:
            dw = volume.weight_gradient(kept, dy) if scatter else volume.weight_gradient(dy, kept)
        gradients = (dx, dw, sum_pixels(dy) if needs[2] else None)
        return [gradient for gradient, t in zip(gradients, operands, strict=True) if t is not None]

    return autograd.record(op, fit.form.logical(y), inputs, vjp)


def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve a volume with a window of weights; see :func:`conv2d` for one axis less.

    Parameters
    ----------
    input : Tensor, shape (N, C, D, H, W) or (C, D, H, W)
        float32 or float64, any memory order; the output lies channels last.
    weight : Tensor, shape (K, C / groups, kD, kH, kW)
    bias : Tensor, shape (K,), optional
    stride, dilation : int or (int, int, int)
        At least 1, along depth, height and width.
    padding : int, (int, int, int), "valid" or "same"
        Zeros on every side; "same" keeps the size at stride 1, an odd zero comes behind the last plane, row or column.
    groups : int
        Channels are cut into this many groups, each with its own outputs.

    Returns
    -------
    Tensor, shape (N, K, OD, OH, OW) or (K, OD, OH, OW), ``OD = (D + 2 * padding - dilation * (kD - 1) - 1) // stride + 1``
        Dtype and device of ``input``.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If sizes, element types or arguments do not fit.

    Notes
    -----
    The planes that a window meets are laid side by side as channels, some planes at a time, and convolved as maps; a sum runs
    over them in a fixed order, so that the bits depend neither on the batch nor on threads.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    >>> nx.nn.functional.conv3d(x, nx.tensor([[[[[1.0]], [[10.0]]]]])).tolist()
    [[[[31.0, 42.0]]]]
    """
    tensors = operands("conv3d", input, weight, bias)
    fitted = fit("conv3d", 3, tensors, stride, padding, dilation, groups)
    return in_half(lambda *given: _record("conv3d", given, fitted, False), *tensors, pairs=False)


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Spread each voxel over a window of weights: the transpose of :func:`conv3d`; see :func:`conv_transpose2d`.

    Parameters
    ----------
    input : Tensor, shape (N, C, D, H, W) or (C, D, H, W)
    weight : Tensor, shape (C, K / groups, kD, kH, kW)
    bias : Tensor, shape (K,), optional
    stride, dilation : int or (int, int, int)
        Step between windows, and between the weights of one.
    padding : int or (int, int, int)
        Voxels that are cut off on every side.
    output_padding : int or (int, int, int)
        Voxels added behind the last ones; below stride or dilation.
    groups : int

    Returns
    -------
    Tensor, shape (N, K, OD, OH, OW) or (K, OD, OH, OW)
        ``OD = (D - 1) * stride - 2 * padding + dilation * (kD - 1) + output_padding + 1``.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        If sizes, element types or arguments do not fit.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[[1.0]], [[2.0]]]])
    >>> nx.nn.functional.conv_transpose3d(x, nx.tensor([[[[[1.0]], [[10.0]]]]]), stride=(2, 1, 1)).tolist()
    [[[[1.0]], [[10.0]], [[2.0]], [[20.0]]]]
    """
    tensors = operands("conv_transpose3d", input, weight, bias)
    fitted = fit_transposed("conv_transpose3d", 3, tensors, stride, padding, output_padding, groups, dilation)
    return in_half(lambda *given: _record("conv_transpose3d", given, fitted, True), *tensors, pairs=False)
