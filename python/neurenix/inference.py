"""Images through a trained model, whatever form they come in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from neurenix import autograd, backend
from neurenix._typing import Array
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn import Module
from neurenix.normalization import Normalization
from neurenix.tensor import Tensor, as_tensor

_COLOURS = (1, 3, 4)  # channels that a picture's last axis has; others only where the model says so


def predict(model: Module, image: Any, *, tta: bool = False, channel_axis: int | None = None, tile: int | None = None) -> Any:
    """Run a model on one image: evaluation mode, nothing recorded, any size, the model's own normalisation.

    Parameters
    ----------
    model : Module
        It is left in the mode it was in. Where it has an attribute ``input_normalization``, that is applied to the image; otherwise
        integers are divided by their type's largest value and floats taken as they are.
    image : array or Tensor, shape (H, W), (H, W, C), (C, H, W) or (N, C, H, W)
        uint8, uint16 or floats. It is taken to the model's device, and the result back.
    tta : bool
        Average over the eight flips and quarter turns of the image ("test-time augmentation").
    channel_axis : int, optional
        The axis of a 3-D image that holds its channels, where the shape leaves it open.
    tile : int, optional
        Run the image in tiles of so many pixels, with the bits of the whole; see :func:`neurenix.multiscale.predict_tiled`.

    Returns
    -------
    array or Tensor, what the image was
        From one output channel (H, W), from several with the channels where the image has them, first for (H, W); (N, K, H, W)
        for a batch. Of a model with deep supervision: its first output.

    Raises
    ------
    ShapeError
        If no axis can be the model's channels.
    DTypeError
        If ``model`` is no module.

    Examples
    --------
    >>> import numpy as np, neurenix as nx
    >>> model = nx.multiscale.UNet(1, 1, features=[4, 8])
    >>> nx.predict(model, np.zeros((33, 50), np.uint8)).shape
    (33, 50)
    """
    if not isinstance(model, Module):
        raise DTypeError(f"predict: expected a Module, got {type(model).__name__}; pass the model first, then the image")
    given = as_tensor(image if isinstance(image, Tensor) or backend.is_array(image) else np.asarray(image))
    axis = _channel_axis(_channels(model), given.shape, channel_axis)
    weights = next(iter(model.parameters()), None)
    with autograd.no_grad(), evaluating(model):
        x = Tensor._wrap(_as_batch(given._array, axis))
        x = x if weights is None else x.to(device=weights.device)
        x = _normalization(model)(x)
        x = x if weights is None else x.to(dtype=weights.dtype)
        y = computed(model, x, tta, tile).to(device=given.device)
    out = _as_given(y._array, given.ndim, axis)
    return Tensor._wrap(out) if isinstance(image, Tensor) else out


def _normalization(model: Module) -> Normalization:
    stored = getattr(model, "input_normalization", None)
    if stored is not None and not isinstance(stored, Normalization):
        raise ArgumentError(f"predict: expected input_normalization to be a Normalization, got {stored!r}; assign Normalization(mean, std)")
    return stored or Normalization()


def _channels(model: Module) -> int | None:
    """How many channels a model's input has, if it says so."""
    for module in model.modules():
        channels = getattr(module, "in_channels", None)
        if isinstance(channels, int):
            return channels
    return None


def _channel_axis(channels: int | None, shape: tuple[int, ...], asked: int | None) -> int | None:
    """Which axis of an image holds its channels; None for (H, W)."""
    if len(shape) in (2, 4):
        axis = None if len(shape) == 2 else 1
    elif len(shape) != 3:
        raise ShapeError(f"predict: expected an image (H, W), (H, W, C), (C, H, W) or (N, C, H, W), got {shape}; pass one image")
    elif asked is not None:
        if asked not in (0, 2, -1):
            raise ArgumentError(f"predict: expected channel_axis 0 or -1, got {asked!r}; move the channels to the front or the end")
        axis = asked % 3
    elif channels is None:
        axis = 0 if shape[0] in _COLOURS or shape[2] not in _COLOURS else 2
    else:
        axis = 0 if shape[0] == channels or shape[2] != channels else 2
    have = 1 if axis is None else shape[axis]
    if channels is not None and have != channels:
        raise ShapeError(f"predict: expected an image of {channels} channels, got shape {shape}; select or stack channels")
    return axis


def _as_batch(image: Array, axis: int | None) -> Array:
    if image.ndim == 4:
        return image
    if axis is None:
        return image[None, None]
    return image[None] if axis == 0 else image.transpose(2, 0, 1)[None]


def _as_given(out: Array, ndim: int, axis: int | None) -> Array:
    """An output (N, K, H, W) in the form that the image had; anything else as it is."""
    if ndim == 4 or out.ndim != 4:
        return out
    if out.shape[1] == 1:
        return out[0, 0]
    return out[0].transpose(1, 2, 0) if axis == 2 else out[0]


def output_of(model: Module, x: Tensor) -> Tensor:
    """The one map that a model gives."""
    y = model(x)
    if getattr(model, "deep_supervision", False):
        y = y[0]  # of deep supervision, the output that the model would give without
    if not isinstance(y, Tensor):
        raise DTypeError(f"predict: expected a model that returns one tensor, got {type(y).__name__}; wrap it in a module that returns one")
    return y


def computed(model: Module, x: Tensor, tta: bool, tile: int | tuple[int, int] | None) -> Tensor:
    """What a model makes of prepared images (N, C, H, W): whole, averaged over turns, or in tiles.

    Raises
    ------
    ArgumentError
        If both are asked for.
    """
    if tile is None:
        return (_averaged if tta else output_of)(model, x)
    if tta:
        raise ArgumentError("predict: expected either tta or tile, got both; average over turns of tiles yourself")
    from neurenix.tiling import predict_tiled

    y: Tensor = predict_tiled(model, x, tile=tile, passes=None)
    return y


def _averaged(model: Module, x: Tensor) -> Tensor:
    """The mean output over the eight symmetries of a square, each undone again."""
    total: Tensor | None = None
    for swap, *steps in itertools.product((False, True), (1, -1), (1, -1)):
        turned = (x._array.swapaxes(-1, -2) if swap else x._array)[..., :: steps[0], :: steps[1]]
        y = output_of(model, Tensor._wrap(turned))
        if y.ndim != 4 or y.shape[-2:] != turned.shape[-2:]:
            raise ShapeError(
                f"predict: expected an output of the image's size for tta=True, got {y.shape} for {turned.shape}; pass tta=False"
            )
        back = y._array[..., :: steps[0], :: steps[1]]
        back = Tensor._wrap(back.swapaxes(-1, -2) if swap else back)
        total = back if total is None else total + back
    assert total is not None
    return total * 0.125


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode within, each module's own mode after it."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
