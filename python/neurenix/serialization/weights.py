"""Weights of other libraries, by name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from neurenix.errors import ArgumentError, DTypeError, FileError
from neurenix.nn.module import LoadResult, Module
from neurenix.nn.parameter import Parameter
from neurenix.ops import state
from neurenix.serialization import npz, safetensors
from neurenix.tensor import Tensor

_WRAPPERS: Final = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name


def load_weights(
    model: Module,
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    strict: bool = True,
    ignore: Sequence[str] = (),
    prefix: str = "",
    adapt_input: bool = False,
) -> LoadResult:
    """Give a model the weights of a file or mapping by their names, also another library's.

    Parameters
    ----------
    model : Module
        Whose parameters and buffers have the names and shapes; see :meth:`neurenix.nn.Module.load_state_dict`.
    source : path or mapping of str to array
        A safetensors or ``.npz`` file, or a mapping such as PyTorch's ``state_dict()``: NumPy arrays, tensors, and anything
        that has ``__array__``.
    strict : bool
        Whether a missing or unexpected entry is an error; a wrong shape always is.
    ignore : sequence of str
        Beginnings of names in ``source`` to leave out, such as ``["fc."]`` for a classifier.
    prefix : str
        Take only the names that begin so, and cut it off: ``"backbone."`` for a part of a larger network.
    adapt_input : bool
        Where the first convolution was trained on another number of channels: the sum of its weights for one channel;
        for several, the trained ones in turn, times the trained number over the new one.

    Returns
    -------
    LoadResult
        ``missing_keys`` of the model, ``unexpected_keys`` of the source with those left out.

    Raises
    ------
    StateError
        With every entry that is wrong. Nothing has been written then.
    FileError
        If the file is not one of these, such as PyTorch's own format; the text says how to convert it.
    DTypeError
        If ``model`` is no module.
    ArgumentError
        If ``ignore`` is no list.

    Notes
    -----
    Floating values are converted to the model's type. ``module.`` and ``_orig_mod.`` before every name, which PyTorch's
    ``DataParallel`` and ``compile`` leave there, are cut off.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.Linear(2, 1)
    >>> nx.load_weights(layer, {"module.weight": [[1.0, 2.0]], "module.bias": [0.0], "module.fc.bias": [3.0]}, ignore=["fc."])
    LoadResult(missing_keys=[], unexpected_keys=['fc.bias'])
    >>> layer(nx.tensor([[1.0, 1.0]])).tolist()
    [[3.0]]
    """
    if not isinstance(model, Module):
        raise DTypeError(f"load_weights: expected a module, got {type(model).__name__}; pass the model first, then its weights")
    if isinstance(ignore, str):
        raise ArgumentError(f"load_weights: expected ignore as a list of beginnings, got {ignore!r}; pass [{ignore!r}]")
    own = model._saved_state()
    given = _renamed(entries_of(source), own, prefix)
    left = [n for n in given if n not in own and n.startswith(tuple(ignore))]
    values = {n: _value(n, v, own.get(n)) for n, v in given.items() if n not in left}
    if adapt_input:
        _adapt(values, own)
    found = model.load_state_dict(values, strict)
    return LoadResult(found.missing_keys, found.unexpected_keys + left)


def entries_of(source: Any) -> dict[str, Any]:
    """The arrays of a file or mapping, by name."""
    if isinstance(source, Mapping):
        return {str(n): v for n, v in source.items()}
    if not isinstance(source, (str, os.PathLike)):
        raise DTypeError(
            f"load_weights: expected a path or a mapping of names to arrays, got {type(source).__name__}; pass e.g. its state_dict()"
        )
    with Path(source).open("rb") as file:
        if npz.is_npz(file):
            return dict(npz.read(file, str(source)))
        reader = safetensors.Reader(file, str(source))
        reader.verify()
        return {name: reader.array(name) for name in reader.header.entries}


def unwrapped(given: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Names without what wrappers put before all of them."""
    for wrapper in _WRAPPERS * 2:  # one may stand inside the other
        if given and all(n.startswith(wrapper) for n in given) and not any(n.startswith(wrapper) for n in own):
            given = {n.removeprefix(wrapper): v for n, v in given.items()}
    return given


def _renamed(given: dict[str, Any], own: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Names without what was put before all of them."""
    given = unwrapped(given, own)
    if not prefix:
        return given
    chosen = {n.removeprefix(prefix): v for n, v in given.items() if n.startswith(prefix)}
    if not chosen:
        raise FileError(f"load_weights: expected names that begin with {prefix!r}, got {list(given)[:5]}; pass another prefix, or none")
    return chosen


def _value(name: str, value: Any, own: Tensor | None) -> Any:
    """``value`` as a tensor; a floating one of the model's floating type."""
    if own is None:
        return value
    try:
        t = state.as_value(value, own)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DTypeError(
            f"load_weights: expected an array for {name}, got {type(value).__name__} ({error}); convert it to float32"
        ) from None
    return t.to(dtype=own.dtype) if t.is_floating_point() and own.is_floating_point() else t


def _adapt(values: dict[str, Any], own: Mapping[str, Tensor]) -> None:
    """Fit the first convolution's weights to the model's number of channels."""
    name = next((n for n, t in own.items() if isinstance(t, Parameter) and t.ndim >= 3 and t.shape[1:] != (1,) * (t.ndim - 1)), None)
    if name is None or name not in values:
        return
    value, want = values[name], own[name].shape
    have = value.shape
    if len(have) != len(want) or have == want or have[0] != want[0] or have[2:] != want[2:] or not have[1]:
        return
    if want[1] == 1:
        values[name] = value.sum(dim=1, keepdim=True)
    else:
        values[name] = value[:, [i % have[1] for i in range(want[1])]] * (have[1] / want[1])
