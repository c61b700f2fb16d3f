"""A run of convolution, normalisation and ReLU on the tape: one node, which keeps the convolutions' own outputs and nothing else.

Between two convolutions no normalised map exists where their kernels take part (on a CPU Winograd's, on a GPU all but those by depth):
a convolution takes the moments of its output as it writes it, and the next one normalises as it reads, as does the gradient of its
weights. Elsewhere the parts are passes of their own, and normalised maps are made a second time in backward. Same bits as the functions
one by one, and contributions in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.errors import ArgumentError
from neurenix.layout import contiguous
from neurenix.ops import channel_norm, norm
from neurenix.ops._conv import Epilogue, Source, Window, run, sides, sum_pixels, weight_gradient
from neurenix.ops._conv_fused import convolve_into, is_fused, normalises, weight_gradient_of
from neurenix.ops._half import in_half, rounded, type_of
from neurenix.ops.conv import Fit, fit, operands
from neurenix.ops.elementwise import NONE, RELU, Activation
from neurenix.ops.norm import Sizes, Slopes, Tables, from_last, to_last
from neurenix.tensor import Tensor


class Norm(NamedTuple):
    """A normalisation, as its function takes it."""

    kind: str  # "batch", "instance" or "group"
    weight: Tensor | None = None
    bias: Tensor | None = None
    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    training: bool = True  # whether the map's own statistics are used
    momentum: float = 0.1
    eps: float = 1e-5
    groups: int = 1
    watch: Callable[[Tensor], object] | None = None  # is told of each map before that is normalised

    def __call__(self, x: Tensor, relu: bool) -> Tensor:
        """Normalise, then ReLU in the same pass."""
        if self.watch is not None:
            self.watch(x)
        if self.kind == "group":
            return channel_norm.group_norm(x, self.groups, self.weight, self.bias, self.eps, relu=relu)
        if self.kind not in ("batch", "instance"):
            raise ArgumentError(f"conv_chain: expected a batch, instance or group norm, got {self.kind!r}; pass one of them")
        apply = channel_norm.batch_norm if self.kind == "batch" else channel_norm.instance_norm
        return apply(x, *self.running, self.weight, self.bias, self.training, self.momentum, self.eps, relu=relu)

    @property
    def running(self) -> channel_norm.Pair:
        """Stored statistics."""
        return self.running_mean, self.running_var

    @property
    def affine(self) -> channel_norm.Pair:
        """Weight and bias."""
        return self.weight, self.bias

    @property
    def is_own(self) -> bool:
        """Whether the map's own statistics are used."""
        return self.kind == "group" or self.training

    def fits(self, like: Array, channels: int) -> bool:
        """Whether the function would take a map of so many channels, rather than refuse it."""
        tensors = (*self.running, *self.affine)
        known = self.kind in ("batch", "instance") or (self.kind == "group" and self.groups > 0 and channels % self.groups == 0)
        if not known or not self.eps > 0 or (not self.is_own and any(t is None for t in self.running)):
            return False
        wanted = (type(like), like.dtype, (channels,))
        return all((type(t._array), t.dtype, t.shape) == wanted for t in tensors if t is not None)

    def stored_tables(self, like: Array, channels: int) -> Tables | None:
        """Tables where they do not depend on the map; ``None`` also where the function would refuse the tensors."""
        if self.is_own or not self.fits(like, channels):
            return None
        return channel_norm.find_tables(like, Sizes(1, 1, 1, channels, 0), self.running, self.affine, False, 0.0, self.eps)


class Fusible:
    """An activation that a GPU's convolution can apply to its sums: as kernels take it, and its function."""

    def __init__(self, how: Activation, function: Callable[[Tensor], Tensor]) -> None:
        self.how, self.function = how, function

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it in a pass of its own."""
        return self.function(x)


class Unit(NamedTuple):
    """One convolution and what follows it."""

    weight: Tensor
    bias: Tensor | None = None
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    norm: Norm | None = None
    activation: str | Callable[[Tensor], Tensor] | None = None  # "relu" shares a pass; a Fusible one too, on a GPU

    @property
    def relu(self) -> bool:
        """Whether the activation is ReLU."""
        return self.activation == "relu"

    def fused(self, like: Array) -> Activation:
        """What of the activation a convolution applies to its sums where maps are like an array."""
        if isinstance(self.activation, Fusible) and type(like) is not np.ndarray:
            return self.activation.how
        return RELU if self.relu else NONE

    @property
    def leaves(self) -> tuple[Tensor | None, ...]:
        """Tensors that a gradient may flow to."""
        return (self.weight, self.bias) + ((self.norm.weight, self.norm.bias) if self.norm else ())

    def is_plain(self, like: Array) -> bool:
        """Whether a node can hold it, whose maps are like an array."""
        how = self.norm
        by_channel = how is not None and (how.kind == "batch" or not how.is_own)  # other statistics have kernels of their own
        return by_channel and self.weight.ndim == 4 and how is not None and how.fits(like, self.weight.shape[0])


class Halving(NamedTuple):
    """A 2x2 max pool at stride 2 behind a run."""

    ceil: bool  # whether odd sizes round up
    keeps: bool  # whether the map itself is wanted too

    def size(self, s: Sizes) -> tuple[int, int]:
        """Height and width of the maxima of a map."""
        return (s.h + self.ceil) // 2, (s.w + self.ceil) // 2


class _Map(NamedTuple):
    """A convolution's own output, and how it is read: normalised, then ReLU."""

    raw: Array
    sizes: Sizes
    tables: Tables
    relu: bool

    def whole(self) -> Array:
        """What it is read as."""
        return norm.apply(self.raw, self.sizes, self.tables, self.relu)

    def halved(self, halving: Halving | None) -> tuple[Array, tuple[Array, Array] | None]:
        """The same, or the raw map in its place where it is not kept, with its maxima and their taps."""
        if halving is None:
            return self.whole(), None
        y, pooled, tap = norm.apply_pooled(self.raw, self.sizes, self.tables, self.relu, halving.size(self.sizes), halving.keeps)
        return self.raw if y is None else y, (pooled, tap)


class _Needs(NamedTuple):
    """Which gradients a unit is asked for."""

    x: bool
    weight: bool
    bias: bool
    affine: tuple[bool, bool]

    @property
    def raw(self) -> bool:
        """Whether the convolution's output needs one."""
        return self.x or self.weight or self.bias


class _Link(NamedTuple):
    """A unit that ran."""

    unit: Unit
    norm: Norm
    window: Window
    source: Source  # what the convolution read
    before: _Map | None  # the same, where it was normalised on the way in
    after: _Map
    affine: Array | None  # the normalisation's weight
    needs: _Needs

    def whole_source(self) -> Array:
        """What the convolution read, in one array as it meets the weights."""
        if self.before is not None:
            return self.before.whole()
        first, second = self.source[:2]
        return first if second is None else np.concatenate([first, second], axis=-1)

    def is_fused(self) -> bool:
        """Whether its convolution has kernels that take part here."""
        return is_fused(self.after.raw, self.window, *sides(self.unit.weight, self.unit.groups, False))

    def read(self) -> Source:
        """What the gradient of its weight reads: as the convolution did, or what that stands for."""
        if self.is_fused() and (self.before is None or normalises(self.after.raw, self.unit.groups, self.unit.weight.shape[1])):
            return self.source
        return Source(self.whole_source())


def source_of(parts: Sequence[Tensor]) -> Source:
    """The buffer of a map (N, C, H, W), or those of two parts of its channels."""
    return Source(*(to_last(t._array) for t in parts))


def fitted(parts: Sequence[Tensor], unit: Unit) -> Fit:
    """Check a unit's convolution of a map, or of two maps' channels one after the other."""
    x = parts[0]
    if len(parts) == 2:  # nothing but the shape of both together is looked at
        n, c, h, w = x.shape
        x = Tensor._wrap(np.broadcast_to(x._array[:, :1], (n, c + parts[1].shape[1], h, w)))
    given = operands("conv2d", x, unit.weight, unit.bias)
    return fit("conv2d", 2, given, unit.stride, unit.padding, unit.dilation, unit.groups)


def _forward(source: Source, before: _Map | None, parts: Sequence[Tensor], unit: Unit, needs_x: bool) -> _Link:
    """Run a unit as far as the tables of its normalisation."""
    how, weight, found = unit.norm, unit.weight, fitted(parts, unit)
    if how is None:
        raise ArgumentError("conv_chain: expected a normalisation in a unit on the tape, got none")
    size, n, channels = (found.size[0], found.size[1]), source.shape[0], weight.shape[0]
    end = Epilogue(None if unit.bias is None else contiguous(unit.bias._array))
    sizes = Sizes(n, *size, channels, 0)
    moments = None
    if is_fused(source.first, found.window, *sides(weight, unit.groups, False)):
        raw = backend.new(source.first, (n, *size, channels))
        moments = norm.new_moments(raw, sizes) if how.is_own else None
        read = source if before is None or normalises(raw, unit.groups, weight.shape[1]) else Source(before.whole())
        convolve_into((raw, None), read, weight, found.window, False, end, moments or (None, None))
    else:
        raw = run(source.first if before is None else before.whole(), weight, found.window, size, False, end)
    if how.watch is not None:
        how.watch(Tensor._wrap(from_last(raw)))
    tables = channel_norm.find_tables(raw, sizes, how.running, how.affine, how.is_own, how.momentum, how.eps, moments)
    wants = [t is not None and t.requires_grad for t in unit.leaves]
    needs = _Needs(needs_x, wants[0], wants[1], (wants[2], wants[3]))
    affine = None if how.weight is None else contiguous(how.weight._array)
    return _Link(unit, how, found.window, source, before, _Map(raw, sizes, tables, unit.relu), affine, needs)


def record_run(parts: Sequence[Tensor], units: Sequence[Unit], halving: Halving | None = None) -> tuple[Tensor, tuple[Array, Array] | None]:
    """Run units, each with a normalisation, on a map or on the two halves of its channels; one node remembers them.

    With ``halving`` the pass that normalises the last map also gives its maxima and their taps; where that map is not kept, the tensor
    stands for it on the tape and has other values.
    """
    links: list[_Link] = []
    source, given, before = source_of(parts), parts, None
    needs_x = any(t.requires_grad for t in parts)
    for unit in units:
        link = _forward(source, before, given, unit, needs_x)
        links.append(link)
        before, needs_x = link.after, link.needs.raw or any(link.needs.affine)
        source = Source(before.raw, None, before.tables.scale, before.tables.shift, before.relu)
        given = (Tensor._wrap(from_last(before.raw)),)
    inputs = [t for link in reversed(links) for t in _ordered(link, parts if link is links[0] else ())]

    given_at = [t is not None for t in inputs]

    def vjp(g: Array) -> list[Array | None]:
        held = [to_last(g)]
        del g
        return [gradient for gradient, is_given in zip(_pulled(links, held), given_at, strict=True) if is_given]

    whole, made = links[-1].after.halved(halving)
    return autograd.record("conv_chain", from_last(whole), tuple(t for t in inputs if t is not None), vjp), made


def conv_of_two(parts: Sequence[Tensor], unit: Unit) -> Tensor:
    """A convolution by itself of two maps' channels where they lie, on a GPU; under autocast of rounded ones."""
    found, (first, second), dtype = fitted(parts, unit), parts, type_of(parts[0])
    beside = second if dtype is None else rounded(second, dtype)
    return in_half(lambda x, weight, bias: _record_two(found, (x, beside), weight, bias), first, unit.weight, unit.bias)


def _record_two(found: Fit, parts: tuple[Tensor, Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
    window, source = found.window, source_of(parts)
    end = Epilogue(None if bias is None else contiguous(bias._array))
    y = run(source.first, weight, window, (found.size[0], found.size[1]), False, end, second=source.second)
    inputs = (*parts, weight, *(() if bias is None else (bias,)))
    needs = [t.requires_grad for t in inputs]
    shapes, kept = (source.first.shape, parts[1]._array.transpose(0, 2, 3, 1).shape), source if needs[2] else None

    def vjp(g: Array) -> list[Array | None]:
        dy, halves = to_last(g), (None, None)
        if needs[0] or needs[1]:
            halves = backend.new(dy, shapes[0]), backend.new(dy, shapes[1])
            convolve_into(halves, Source(dy), weight, window, True)
        dw = None if kept is None else weight_gradient_of(dy, kept, weight, window)
        gradients = [None if half is None else from_last(half) for half in halves]
        return [*gradients, dw, *(() if bias is None else (sum_pixels(dy) if needs[3] else None,))]

    return autograd.record("conv2d", from_last(y), inputs, vjp)


def _ordered(link: _Link, parts: Sequence[Any]) -> tuple[Any, ...]:
    """A unit's inputs in the order in which single operations hand on their gradients; ``parts`` are the run's."""
    unit = link.unit
    convolution = (*parts, unit.weight, unit.bias) if len(parts) < 2 else (unit.weight, unit.bias, *parts)
    return (*link.norm.affine, *convolution)


def _pulled(links: Sequence[_Link], held: list[Array]) -> list[Array | None]:
    """Gradients of all inputs of a run, in order, from that of its output: the only one in ``held``, let go once it is read."""
    found: list[Array | None] = []
    for link in reversed(links):
        raw, sizes, tables, relu = link.after
        slopes, dweight, dbias = norm.slopes(held[0], raw, sizes, tables, link.affine, link.norm.is_own, relu, link.needs.affine)
        found += [dweight, dbias]
        if not link.needs.raw:
            break
        dx, dw, db = _convolution_gradients(link, held, slopes)
        parts = [None if part is None else from_last(part) for part in dx] if link is links[0] else []
        found += [*parts, dw, db] if len(parts) < 2 else [dw, db, *parts]
        if dx[0] is None:
            break
        held.append(dx.pop())
    count = 4 * len(links) + (1 if links[0].source.second is None else 2)
    return found + [None] * (count - len(found))


def _convolution_gradients(link: _Link, held: list[Array], slopes: Slopes) -> tuple[list[Array | None], Array | None, Array | None]:
    """Gradients of a convolution's input, one an array, of its weight and of its bias, from that of the normalised output."""
    (raw, sizes, tables, relu), weight, window, needs = link.after, link.unit.weight, link.window, link.needs
    dw, fused = None, link.is_fused()
    dy = norm.backward_apply(held.pop(), raw, sizes, tables, slopes, relu)
    if needs.weight:
        dw = weight_gradient_of(dy, link.read(), weight, window) if fused else weight_gradient(dy, link.whole_source(), weight, window)
    db = sum_pixels(dy) if needs.bias else None
    first, second = link.source[:2]
    if not needs.x:
        return [None] if second is None else [None, None], dw, db
    if second is None or not fused:
        dx = run(dy, weight, window, link.source.shape[1:3], True)
        c = first.shape[-1]
        return [dx] if second is None else [contiguous(dx[..., :c]), contiguous(dx[..., c:])], dw, db
    halves = backend.new(first, first.shape), backend.new(second, second.shape)
    convolve_into(halves, Source(dy), weight, window, True)
    return [*halves], dw, db
