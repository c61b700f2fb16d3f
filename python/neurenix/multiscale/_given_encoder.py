"""What models ask of an encoder: channels and strides of its maps, and maps that have them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.multiscale import _checks
from neurenix.nn.module import Module
from neurenix.tensor import Tensor
from neurenix.window import full_size


class Plan(NamedTuple):
    """A decoder for an encoder: by level, finest first."""

    skips: list[int]  # channels of the skip; 0 where the encoder has no map of that size
    steps: list[int]  # how many times larger than the level below, whose last is the encoder's coarsest map
    bottom: int  # channels of that map


def described(op: str, encoder: Any) -> tuple[list[int], list[int]]:
    """Channels and strides of an encoder's maps, finest first, as it says them."""
    if not isinstance(encoder, Module):
        raise DTypeError(
            f"{op}: expected encoder as a module or None, got {type(encoder).__name__}; pass a module that gives a list of maps"
        )
    said = getattr(encoder, "out_channels", None)
    if not isinstance(said, (list, tuple)) or not said:
        raise ArgumentError(
            f"{op}: expected encoder.out_channels as a list of integers, got {said!r}; assign it: the channels of its maps, finest first"
        )
    channels = _checks.integers(op, "encoder.out_channels", said)
    strides = _checks.integers(op, "encoder.strides", getattr(encoder, "strides", [1 << i for i in range(len(channels))]))
    if len(strides) != len(channels) or any(b % a for a, b in pairwise(strides)):
        raise ArgumentError(
            f"{op}: expected encoder.strides as {len(channels)} integers, each a multiple of the one before, got {strides}; "
            "assign them: the image's size over each map's"
        )
    return channels, strides


def plan(op: str, encoder: Any) -> Plan:
    """Levels of a decoder that leads from an encoder's maps to the image."""
    channels, strides = described(op, encoder)
    first = _factors(strides[0])
    steps = first + [b // a for a, b in pairwise(strides)]
    if not steps:
        raise ArgumentError(
            f"{op}: expected an encoder of several maps or of a stride above 1, got {channels} at {strides}; it leaves nothing to decode"
        )
    return Plan([0] * len(first) + channels[:-1], steps, channels[-1])


def _factors(stride: int) -> list[int]:
    found = []
    while stride > 1:
        step = 2 if stride % 2 == 0 else stride
        found.append(step)
        stride //= step
    return found


def widths(op: str, planned: Plan, asked: list[int] | None) -> list[int]:
    """Channels of the decoder's levels: those asked for, or the skips' and, before the first of these, half of the next."""
    if asked is not None:
        if len(asked) != len(planned.steps):
            raise ArgumentError(
                f"{op}: expected {len(planned.steps)} features for this encoder, one a level of the decoder, got {asked}; leave them out to follow the encoder"
            )
        return asked
    found = [planned.bottom]
    for skip in reversed(planned.skips):
        found.insert(0, skip or max(1, found[0] // 2))
    return found[:-1]


def maps(op: str, encoder: Module, got: Any, x: Tensor) -> list[Tensor]:
    """Refuse what is not the list of maps that the encoder said it gives of ``x``."""
    channels, strides = described(op, encoder)
    if not isinstance(got, (list, tuple)) or not all(isinstance(m, Tensor) and m.ndim == 4 for m in got):
        raise ShapeError(f"{op}: expected encoder to give a list of maps (N, C, H, W), got {_kind(got)}; return [finest, ..., coarsest]")
    h, w = full_size(x)
    want = [(c, h / s, w / s) for c, s in zip(channels, strides, strict=True)]
    sizes = [(m.shape[1], *full_size(m)) for m in got]
    fits = [c == k and abs(i - r) <= 1 and abs(j - s) <= 1 for (c, i, j), (k, r, s) in zip(sizes, want, strict=False)]
    if len(got) != len(want) or not all(fits):
        raise ShapeError(
            f"{op}: expected encoder to give maps of {channels} channels at strides {strides} of {(h, w)}, got {_kind(got)}; "
            "assign encoder.out_channels and encoder.strides as its maps are"
        )
    return list(got)


def _kind(got: Any) -> str:
    if isinstance(got, (list, tuple)):
        return str([m.shape if isinstance(m, Tensor) else type(m).__name__ for m in got])
    return f"shape {got.shape}" if isinstance(got, Tensor) else type(got).__name__
