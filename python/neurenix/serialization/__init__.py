"""Files: models, state dicts, and nested dicts of arrays and numbers; safetensors bytes and JSON, no pickles."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neurenix._rust import __version__
from neurenix.errors import FileError
from neurenix.nn.module import Module
from neurenix.serialization import modules, npz, safetensors, values
from neurenix.serialization.weights import load_weights as load_weights
from neurenix.tensor import Tensor

__all__ = ["load", "load_weights", "save"]


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Write a model, a state dict, or nested dicts and lists of arrays and numbers.

    Parameters
    ----------
    obj : Module, dict, list, array or number
        Modules may also stand inside dicts: ``{"model": model, "optimizer": optimizer.state_dict(), "epoch": 3}``.
    path : str or path
        Where to. A file that is there is replaced in one step, so that there never is half a file.

    Raises
    ------
    ArgumentError
        If there is something in ``obj`` that cannot be stored, or a model that could not be built again.

    Notes
    -----
    The bytes are a safetensors file, which the package of that name reads: a model's arrays have the names of its state dict.
    The metadata hold the class and constructor arguments at each path, changes made since (replaced submodules, frozen
    parameters, evaluation mode), the library's version and a checksum. Hooks and attributes that are neither parameters,
    buffers nor modules are not stored.

    Examples
    --------
    >>> import neurenix as nx
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "state.nx")
    >>> nx.save({"weights": nx.tensor([1.0, 2.0]), "epoch": 3}, path)
    >>> nx.load(path)["epoch"]
    3
    """
    packer = values.Packer(lambda module, place: modules.Writer(packer).pack(module, place))
    tree = packer.pack(obj, "")
    metadata = {
        "format": "neurenix",
        "neurenix.version": __version__,
        "neurenix.tree": json.dumps(tree, separators=(",", ":"), allow_nan=False),
    }
    safetensors.write(path, packer.arrays, metadata)


def load(path: str | os.PathLike[str], *, classes: Iterable[type] = ()) -> Any:
    """Read what :func:`save` wrote, or any safetensors or ``.npz`` file as a dict of tensors.

    Parameters
    ----------
    path : str or path
        The file.
    classes : iterable of Module classes
        Your own classes that a stored model is made of; the library's own are known.

    Returns
    -------
    What was saved: tensors as tensors on the CPU, arrays as arrays, models in the mode they were in. bfloat16 of other
    libraries' files becomes float32, which has all its numbers.

    Raises
    ------
    FileError
        If the file is cut, damaged, of another format, or names classes that are not known. No code in a file is run, and
        memory is taken only after every shape was compared with the file's size.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.save({"model": nx.nn.Linear(2, 1), "epoch": 3}, "run.nx")
    >>> run = nx.load("run.nx")
    >>> run["epoch"], run["model"](nx.zeros(4, 2)).shape
    (3, (4, 1))
    """
    known = modules.Classes(classes)
    with Path(path).open("rb") as file:
        if npz.is_npz(file):
            return {name: Tensor(array) for name, array in npz.read(file, str(path)).items()}
        reader = safetensors.Reader(file, str(path))
        reader.verify()
        header = reader.header
        if "neurenix.tree" not in header.metadata:
            return {name: Tensor(reader.array(name)) for name in header.entries}
        shapes = {n: (e.shape, e.dtype.kind) for n, e in header.entries.items()}

        def module(whole: Any) -> Module:
            return modules.unpack(whole, known, reader.array, shapes)

        try:
            return values.unpack(json.loads(header.metadata["neurenix.tree"]), reader.array, module, known.find)
        except (ValueError, RecursionError) as error:
            if isinstance(error, FileError):
                raise
            raise reader.fail(f"metadata that cannot be read ({error})", "the file is damaged") from None
