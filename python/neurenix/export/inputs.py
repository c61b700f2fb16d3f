"""What a model takes: shapes of its arguments, random ones of these shapes, and what it makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from neurenix.autograd import no_grad
from neurenix.errors import ArgumentError, NeurenixError
from neurenix.inference import evaluating
from neurenix.multiscale import AttentionGate, ScaleFusion
from neurenix.nn import Module
from neurenix.tensor import Tensor

Shape: TypeAlias = tuple[int | None, ...]
Inputs: TypeAlias = Sequence[Shape | Sequence[Shape]]
_CHANNELS = ("in_channels_list", "in_channels", "channels", "num_features", "num_channels")
_TRIES = (((32, 48), 2, 3), ((40, 33), 1, 4))  # size of the image, of the batch, of other axes


def structure(model: Module, inputs: Any) -> list[Shape | list[Shape]]:
    """The shapes that were asked for, or those that a model's channels say.

    Raises
    ------
    ArgumentError
        If they are no shapes.
    """
    if inputs is None:
        return _said(model)
    entries = list(inputs) if isinstance(inputs, (list, tuple)) else []
    found = [[_shape(e) for e in entry] if _is_list(entry) else _shape(entry) for entry in entries]
    if not found or None in found or any(isinstance(f, list) and None in f for f in found):
        raise ArgumentError(
            f"export: expected inputs as a list of shapes, one an argument, got {inputs!r}; pass e.g. [(None, 3, None, None)], None for sizes that change"
        )
    return found  # type: ignore[return-value]


def _is_list(entry: Any) -> bool:
    return isinstance(entry, (list, tuple)) and any(isinstance(e, (list, tuple)) for e in entry)


def _shape(entry: Any) -> Shape | None:
    whole = isinstance(entry, (list, tuple)) and entry
    fits = whole and all(n is None or (isinstance(n, int) and not isinstance(n, bool) and n > 0) for n in entry)
    return tuple(entry) if fits else None


def _said(model: Module) -> list[Shape | list[Shape]]:
    if isinstance(model, AttentionGate):
        return [(None, model.in_channels, None, None), (None, model.gating_channels, None, None)]
    for module in model.modules():
        said = (getattr(module, name, None) for name in _CHANNELS)
        channels = next((c for c in said if c is not None), None)
        if isinstance(channels, list):
            return [[(None, c, None, None) for c in channels]]
        if isinstance(channels, int):
            return [(None, channels, None, None)]
    return [(None, None, None, None)]


def shapes(inputs: Inputs) -> Iterator[Shape]:
    """The shapes one after another."""
    for entry in inputs:
        if isinstance(entry, list):
            yield from entry
        else:
            yield entry  # type: ignore[misc]


def examples(model: Module, inputs: Inputs, size: Sequence[int], seed: int, batch: int = 2, other: int = 3) -> list[Any]:
    """Random arguments of these shapes: images of a size, further ones of a list each of half the size before, or as the scales say."""
    random = np.random.default_rng(seed)

    def image(shape: Shape, scale: float) -> Any:
        h, w = (max(1, -int(-n * scale // 1)) for n in size)
        free = {0: batch, 1: other, len(shape) - 2: h, len(shape) - 1: w} if len(shape) > 2 else {0: batch}
        return random.random([free.get(i, other) if n is None else n for i, n in enumerate(shape)], np.float32)

    def scales(count: int) -> list[float]:
        return [s / max(model.scales) for s in model.scales] if isinstance(model, ScaleFusion) else [0.5**i for i in range(count)]

    def argument(entry: Any) -> Any:
        return [image(e, s) for e, s in zip(entry, scales(len(entry)), strict=True)] if isinstance(entry, list) else image(entry, 1.0)

    return [argument(entry) for entry in inputs]


def computed(model: Module, arrays: Sequence[Any], normalize: bool) -> list[Any]:
    """The model's own results in evaluation, of normalised images where asked."""
    how = model.input_normalization if normalize else None
    device = next((p.device for p in model.parameters()), None)

    def tensor(array: Any) -> Tensor:
        t = Tensor(array) if how is None else how(array)
        return t if device is None else t.to(device=device)

    given = [[tensor(a) for a in array] if isinstance(array, list) else tensor(array) for array in arrays]
    try:
        with no_grad(), evaluating(model):
            return list(flat_arrays(model(*given)))
    except TypeError as error:
        if isinstance(error, NeurenixError):
            raise
        raise ArgumentError(
            f"export: expected inputs that {type(model).__name__} takes, got {len(given)} arguments ({error}); pass inputs=, a shape for each"
        ) from None


def flat_arrays(values: Any) -> Iterator[Any]:
    """Arrays in an output or arguments: lists, tuples and mappings of tensors, some inside others."""
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, (list, tuple)):
        for entry in values:
            yield from flat_arrays(entry)
    elif values is not None:
        yield values.numpy() if hasattr(values, "numpy") else values


def tried(model: Module, inputs: Inputs, normalize: bool) -> list[Shape]:
    """The shapes of a model's results, found by running it twice: axis 1 where it is the same both times, ``None`` for what changes."""
    first, second = (
        [a.shape for a in computed(model, examples(model, inputs, size, 0, batch, other), normalize)] for size, batch, other in _TRIES
    )
    return [
        tuple(n if i == 1 and n == m else None for i, (n, m) in enumerate(zip(a, b, strict=True)))
        for a, b in zip(first, second, strict=True)
    ]
