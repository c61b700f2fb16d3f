"""Blocks that the models are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeGuard

from neurenix import nn, ops
from neurenix.autograd import is_grad_enabled
from neurenix.checkpoint import is_checkpointing, note
from neurenix.errors import ArgumentError
from neurenix.nn import functional
from neurenix.nn.containers import reads_halves, run_and_halve, run_in_turn
from neurenix.nn.module import Module
from neurenix.ops.beside import beside
from neurenix.ops.resize_like import resize_like
from neurenix.tensor import Tensor
from neurenix.window import full_size, limited

NORMS: Final = ("batch", "group", "instance", None)
ACTIVATIONS: Final = ("sigmoid", "softmax", None)


def check_norm(op: str, norm: str | None) -> str | None:
    """Refuse an unknown normalisation."""
    if norm not in NORMS:
        raise ArgumentError(f"{op}: expected norm 'batch', 'group', 'instance' or None, got {norm!r}; pass one of them")
    return norm


def check_activation(op: str, name: str | None) -> str | None:
    """Refuse an unknown final activation."""
    if name not in ACTIVATIONS:
        raise ArgumentError(f"{op}: expected final_activation 'sigmoid', 'softmax' or None, got {name!r}; pass one of them")
    return name


def activate(x: Tensor, name: str | None) -> Tensor:
    """Probabilities of each class by itself, of all classes together, or the logits as they are."""
    if name == "sigmoid":
        return functional.sigmoid(x)
    return functional.softmax(x, dim=1) if name == "softmax" else x


def fitted(x: Tensor, size: tuple[int, int]) -> Tensor:
    """``x``, of the whole map where it is a window, at a size from the image's origin: cropped, or its last row and column repeated."""
    h, w = size
    height, width = full_size(x)
    x = limited(x, h, w)
    below, right = max(0, h - height), max(0, w - width)
    return functional.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


def scaled_down(x: Tensor, by: int) -> tuple[int, int]:
    """Height and width over an integer, rounded up, of the whole map where ``x`` is a window."""
    h, w = full_size(x)
    return -(-h // by), -(-w // by)


def outputs(maps: Sequence[Tensor], heads: Sequence[Module], like: Tensor, activation: str | None) -> list[Tensor]:
    """What each head makes of its map: logits, resized bilinearly to the size of ``like``, then the final activation."""
    logits = [resize_like(head(m), like, "bilinear") for m, head in zip(maps, heads, strict=True)]
    return [activate(z, activation) for z in logits]


class Level(Module):
    """Two 3x3 convolutions of one level, each normalised and rectified."""

    def __init__(self, in_channels: int, out_channels: int, norm: str | None, activation: str = "relu") -> None:
        self.first = nn.ConvNormAct(in_channels, out_channels, norm=norm, activation=activation)
        self.second = nn.ConvNormAct(out_channels, out_channels, norm=norm, activation=activation)

    def forward(self, x: Tensor, beside: Tensor | None = None) -> Tensor:
        """Give (N, out_channels, H, W); the channels of ``beside``, where it is given, follow those of ``x``."""
        out: Tensor = run_in_turn([self.first, self.second], x, beside)
        return out


def gives_halves(block: Module) -> TypeGuard[Level]:
    """Whether a block gives maxima with its map: where gradients are recorded, and it is no part that runs twice."""
    return is_grad_enabled() and not is_checkpointing() and _is_plain(block)


def with_halves(level: Level, x: Tensor) -> tuple[Tensor, Tensor]:
    """What a plain level makes of ``x``, and 2x2 maxima of that, odd sizes rounded up."""
    note(level)
    return run_and_halve([level.first, level.second], x)


def with_beside(block: Module, first: list[Tensor], second: Callable[[], Tensor], channels: int | None) -> Tensor:
    """``block`` of the channels of ``first.pop()``, then of ``second()``, which is expected to have so many channels, if that is known.

    The two are copied together only where they must be; where nothing is recorded maps are let go as soon as they have been read.
    """
    if is_grad_enabled():
        held = [first.pop(), second()]
        takes_two = isinstance(block, Level) and not block._is_hooked() and "forward" not in vars(block)
        out: Tensor = block(*held) if takes_two else block(ops.cat(held, dim=1))
        return out
    if _reads_both(block, first[0], channels):
        return through(block, [first.pop(), second()])
    return through(block, [beside(first, second, channels)])


def _reads_both(block: Module, x: Tensor, channels: int | None) -> bool:
    """Whether a block takes ``x`` and a map of so many channels as they lie, rather than one of both; on a GPU no copy pays."""
    if not _is_plain(block):
        return False
    return x.device.type != "cpu" or (x.shape[1] == channels and reads_halves([block.first], x))


def through(level: Module, held: list[Tensor]) -> Tensor:
    """What ``level`` makes of the map or two in ``held``; a plain one lets go of them before its second convolution where nothing is recorded."""
    if not is_grad_enabled() and _is_plain(level):
        note(level)
        first = run_in_turn([level.first], held.pop(0), held.pop() if held else None)
        out: Tensor = run_in_turn([level.second], first)
    else:
        out = level(held.pop())
    return out


def _is_plain(level: Module) -> TypeGuard[Level]:
    return type(level) is Level and not level._is_hooked() and "forward" not in vars(level)
