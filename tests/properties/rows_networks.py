"""Normalisation."""

from __future__ import annotations

from functools import partial

from properties.draws import Draw
from properties.table import Example, constant, row

from neurenix.nn import functional as F


def per_channel(d: Draw, channels: int) -> tuple[object, object]:
    return d.numbers(channels, low=0.5), d.numbers(channels)


def several(d: Draw, channels: int | None = None) -> tuple[int, ...]:
    """At least two pixels of each map."""
    return d.map(d.int(1, 3), channels=channels, low=2, high=4)


def batch_normed(d: Draw) -> Example:
    shape = several(d)
    return (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)), d.distinct(*shape), *per_channel(d, shape[1])


def evaluated(d: Draw) -> Example:
    shape = several(d)
    mean, var = d.numbers(shape[1]), d.numbers(shape[1], low=0.5)
    return (lambda x, w, b: F.batch_norm(x, constant(mean, x), constant(var, x), w, b)), d.distinct(*shape), *per_channel(d, shape[1])


def instance_normed(d: Draw) -> Example:
    shape = several(d)
    return (lambda x, w, b: F.instance_norm(x, weight=w, bias=b)), d.distinct(*shape), *per_channel(d, shape[1])


def group_normed(d: Draw) -> Example:
    groups = d.int(1, 3)
    shape = several(d, channels=groups * d.int(1, 2))
    return (lambda x, w, b: F.group_norm(x, groups, w, b)), d.distinct(*shape), *per_channel(d, shape[1])


def layer_normed(d: Draw) -> Example:
    shape = (*d.shape(least=1, most=2), *tuple(s + 1 for s in d.shape(least=1, most=2)))
    inner = shape[-d.int(1, 2) :] if shape[-2] > 1 else shape[-1:]
    return (lambda x, w, b: F.layer_norm(x, inner, w, b)), d.distinct(*shape), d.numbers(*inner), d.numbers(*inner)


def root_normed(d: Draw) -> Example:
    shape = (*d.shape(least=1, most=2), d.int(1, 5))
    return (lambda x, w: F.rms_norm(x, shape[-1:], w, eps=1e-3)), d.distinct(*shape), d.numbers(shape[-1])


row("batch_norm", batch_normed, tolerance=1e-5)
row("batch_norm/evaluation", evaluated, linear=(0, 1, 2), batched=(0,))
row("instance_norm", instance_normed, batched=(0,), tolerance=1e-5)
row("group_norm", group_normed, batched=(0,), tolerance=1e-5)
row("layer_norm", layer_normed, tolerance=1e-5)
row("rms_norm", root_normed, tolerance=1e-5)
row("local_response_norm", lambda d: (partial(F.local_response_norm, size=d.int(1, 4), alpha=0.1), d.numbers(*d.map(2))), batched=(0,))
