"""Weights under the names that other libraries use, out and in."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurenix._rust import __version__
from neurenix.errors import DTypeError
from neurenix.export.names import Names, beginnings, layout_of, translated
from neurenix.export.onnx_file import class_list
from neurenix.multiscale import UNet
from neurenix.nn import InstanceNorm2d, Module
from neurenix.nn.module import LoadResult
from neurenix.serialization import safetensors as format_, weights
from neurenix.serialization.modules import class_name

Arrays = dict[str, np.ndarray[Any, Any]]


def safetensors(
    model: Module,
    path: str | os.PathLike[str],
    *,
    names: Names | None = None,
    class_names: Sequence[str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model's weights as a safetensors file, which PyTorch's ``safetensors.torch.load_file`` reads.

    Parameters
    ----------
    model : Module
    path : path
        Where to; a file that is there is replaced in one step.
    names : str, path or mapping, optional
        The names that the weights get: ``"milesial"``, ``"smp"`` or ``"nnunet"`` for the U-Nets of these libraries, a TOML file of
        ``"their.name" = "our.name"`` lines, or a mapping of the same. Without it: those of the state dict.
    class_names : sequence of str, optional
        What the channels of the output are, kept in the file.
    metadata : mapping of str to str, optional
        More to keep in the file.

    Raises
    ------
    ArgumentError
        If the model is not the network that the layout is of.

    Examples
    --------
    >>> import neurenix as nx
    >>> import os, tempfile
    >>> model = nx.multiscale.UNet(3, 2, features=[4, 8])
    >>> path = os.path.join(tempfile.mkdtemp(), "unet.safetensors")
    >>> nx.export.safetensors(model, path, names="milesial")
    >>> sorted(nx.load(path))[:2]
    ['down1.maxpool_conv.1.double_conv.0.weight', 'down1.maxpool_conv.1.double_conv.1.bias']
    """
    arrays = to_torch(model, names)
    texts = {"format": "pt", "neurenix.version": __version__, "neurenix.class": class_name(type(model))}
    how, classes = model.input_normalization, class_list(model, class_names)
    texts |= {"neurenix.normalization": json.dumps({"mean": how.mean, "std": how.std, "scale": how.scale})} if how is not None else {}
    texts |= {"neurenix.classes": json.dumps(classes)} if classes is not None else {}
    format_.write(path, arrays, texts | {str(k): str(v) for k, v in (metadata or {}).items()})


def to_torch(model: Module, names: Names | None = None) -> Arrays:
    """A model's weights as arrays under another library's names: a state dict for its ``load_state_dict``.

    Parameters
    ----------
    model : Module
    names : str, path or mapping, optional
        As :func:`safetensors` takes them.

    Returns
    -------
    dict of str to numpy.ndarray
        In PyTorch's shapes: weights of convolutions (O, I, kH, kW).

    Raises
    ------
    DTypeError
        If ``model`` is no module.

    Examples
    --------
    >>> import neurenix as nx
    >>> list(nx.export.to_torch(nx.nn.Conv2d(1, 2, 3), {"conv.": ""}))
    ['conv.weight', 'conv.bias']
    """
    if not isinstance(model, Module):
        raise DTypeError(f"to_torch: expected a module, got {type(model).__name__}; pass a model")
    layout, own = layout_of(names, model), {n: t.numpy() for n, t in model.state_dict().items()}
    if layout is not None and layout.up_first:
        own = _exchanged(model, own, False)
    to = translated(list(own), beginnings(names, model))
    found = {to[name]: array for name, array in own.items()}
    return found | {twin: array for name, array in found.items() for twin in (layout.twins(name) if layout is not None else ())}


def load_torch(model: Module, source: Any, *, names: Names | None = None, strict: bool = True) -> LoadResult:
    """Give a model another library's weights by that library's names.

    Parameters
    ----------
    model : Module
        Of the same network.
    source : path or mapping
        A safetensors or ``.npz`` file, or a state dict; see :func:`neurenix.load_weights`.
    names : str, path or mapping, optional
        As :func:`safetensors` takes them.
    strict : bool
        Whether missing and unexpected names are errors.

    Returns
    -------
    LoadResult
        The names that were missing and unexpected, ours.

    Raises
    ------
    StateError
        With every entry that does not fit; nothing has been written then.
    DTypeError
        If ``model`` is no module.

    Notes
    -----
    A convolution's bias before a batch normalisation, where our block has none, goes into the running mean; before an instance
    normalisation it has no effect and is left out.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.nn.Sequential(nx.nn.Linear(1, 1))
    >>> nx.export.load_torch(model, {"fc.weight": [[2.0]], "fc.bias": [1.0]}, names={"fc.": "0."})
    LoadResult(missing_keys=[], unexpected_keys=[])
    >>> model(nx.tensor([[3.0]])).item()
    7.0
    """
    if not isinstance(model, Module):
        raise DTypeError(f"load_torch: expected a module, got {type(model).__name__}; pass the model first, then its weights")
    layout, own = layout_of(names, model), model._saved_state()
    given = weights.unwrapped(weights.entries_of(source), own)
    if layout is not None and isinstance(model, UNet):  # a layout is of no other model
        given = {name: value for name, value in given.items() if not layout.left_out(name, model)}
    to = translated(list(given), {theirs: ours for ours, theirs in beginnings(names, model).items()})
    values = {to[name]: value for name, value in given.items()}
    values = _without_biases(model, values, own)
    if layout is not None and layout.up_first:
        values = _exchanged(model, values, True)
    return weights.load_weights(model, values, strict=strict)


def _without_biases(model: Module, values: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Biases that our convolutions have not, in what the normalisation behind them holds."""
    modules, kept = dict(model.named_modules()), dict(values)
    for name, value in values.items():
        block, mean = name.removesuffix("0.bias"), name.removesuffix("0.bias") + "1.running_mean"
        if name in own or not name.endswith("0.bias"):
            continue
        if mean in values and mean in own and np.shape(values[mean]) == np.shape(value):
            kept[mean] = np.asarray(kept[mean]) - np.asarray(kept.pop(name))
        elif isinstance(modules.get(f"{block}1"), InstanceNorm2d):
            del kept[name]
    return kept


def _exchanged(model: Any, values: Mapping[str, Any], inward: bool) -> dict[str, Any]:
    """The decoder's first weights with the channels of skip and enlarged map in the other order."""
    found = dict(values)
    for i, level in enumerate(model.decoder):
        name, total = f"decoder.{i}.first.0.weight", level.first[0].in_channels
        if np.ndim(found.get(name, 0)) == 4:
            first = (total - model.skips[i]) if inward else model.skips[i]
            array = np.asarray(found[name])
            found[name] = np.concatenate([array[:, first:], array[:, :first]], axis=1)
    return found
