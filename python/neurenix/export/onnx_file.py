"""ONNX files: a model's graph with its weights and what is to be known about it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

import neurenix.export.activations
import neurenix.export.heads
import neurenix.export.transforms
import neurenix.export.wavelets  # noqa: F401 - rules
from neurenix._rust import __version__
from neurenix.errors import ArgumentError, DTypeError, FileError
from neurenix.export import sampling
from neurenix.export.graph import FLOAT, OPSET, Graph, Value, flat
from neurenix.export.inputs import Inputs, Shape, computed, examples, flat_arrays, shapes, structure, tried
from neurenix.images.placing import put
from neurenix.inference import evaluating
from neurenix.nn import Module
from neurenix.optional import load
from neurenix.serialization.modules import class_name

Shaped: TypeAlias = tuple[Value, Shape]
_LARGEST: Final = (1 << 31) - (1 << 24)  # what a protobuf file may hold, and room for the rest
_IR_VERSION: Final = 8  # the oldest that has this opset: old runtimes read it


def onnx(
    model: Module,
    path: str | os.PathLike[str],
    *,
    inputs: Inputs | None = None,
    class_names: Sequence[str] | None = None,
    normalize: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model, as it is in evaluation, as an ONNX file that takes any batch and any size of image.

    Parameters
    ----------
    model : Module
        In float32. It is left in the mode it is in.
    path : path
        Where to; a file that is there is replaced in one step.
    inputs : sequence, optional
        The shape of each argument of ``forward``, ``None`` for a size that may change, and a list of shapes for an argument that
        is a list of maps. Without it: (N, C, H, W) of the model's channels.
    class_names : sequence of str, optional
        What the channels of the output are, kept in the file.
    normalize : bool
        Whether ``model.input_normalization`` becomes part of the graph, so that it takes the image as it is.
    metadata : mapping of str to str, optional
        More to keep in the file, such as where its training data came from.

    Raises
    ------
    ArgumentError
        If the model holds a module that has no rule, named with its place; nothing is written then. See :func:`rule`.
    DTypeError
        If the weights are not float32.
    BackendUnavailableError
        If the package ``onnx`` is not installed.
    FileError
        If the weights are more than the 2 GB that an ONNX file may have.

    Notes
    -----
    Opset 18. Sizes are computed inside the graph: crops, paddings, bins of pyramid pooling and resizing fit every image, odd
    sizes too. Results in ONNX Runtime are within 1e-5 of the largest output of the model's own.

    Examples
    --------
    >>> import neurenix as nx
    >>> import os, tempfile
    >>> model = nx.multiscale.UNet(1, 2, features=[4, 8])
    >>> path = os.path.join(tempfile.mkdtemp(), "unet.onnx")
    >>> nx.export.onnx(model, path, class_names=["nucleus", "border"])
    >>> nx.export.check_onnx(model, path, sizes=[(33, 50)]) < 1e-5
    True
    """
    if not isinstance(model, Module):
        raise DTypeError(f"export: expected a module, got {type(model).__name__}; pass the model first, then the path")
    names = class_list(model, class_names)
    wrong = next(((n, t.dtype) for n, t in model._named_state().items() if t.is_floating_point() and t.dtype != FLOAT), None)
    if wrong is not None:
        raise DTypeError(f"export: expected a model in float32, got {wrong[1]} at {wrong[0]}; convert it with model.float()")
    taken = structure(model, inputs)
    made = tried(model, taken, normalize)
    with evaluating(model):
        graph, given, found = _traced(model, taken, normalize)
    size = sum(array.nbytes for array in graph.initializers.values())
    if size > _LARGEST:
        raise FileError(f"export: expected at most 2 GB of weights, which an ONNX file may have, got {size} bytes; use safetensors")
    helper = load("onnx", "ONNX files", "export")
    texts = _metadata(model, names, normalize) | {str(k): str(v) for k, v in (metadata or {}).items()}
    if [len(s) for s in made] != [v.rank for v in found]:
        raise ArgumentError(
            f"export: expected a rule of {type(model).__name__} that gives what its forward gives, {len(made)} outputs of "
            f"{[len(s) for s in made]} axes, got {[v.rank for v in found]}; mend the rules of its modules"
        )
    proto = _proto(helper, graph, given, list(zip(found, made, strict=True)), texts)
    helper.checker.check_model(proto)
    put(Path(os.path.realpath(path)), lambda beside: beside.write_bytes(proto.SerializeToString()))


def _traced(model: Module, inputs: Inputs, normalize: bool) -> tuple[Graph, list[Shaped], list[Value]]:
    """A model's graph, its inputs with their shapes, and its outputs."""
    graph, given = Graph(model), list[Shaped]()
    count = len(list(shapes(inputs)))

    def argument(entry: Any) -> Any:
        if isinstance(entry, list):
            return [argument(e) for e in entry]
        value = Value(graph, "input" if count == 1 else f"input_{len(given)}", FLOAT, len(entry))
        given.append((value, entry))
        return _normalized(model, value) if normalize else value

    found = list(flat(graph.call(model, *[argument(entry) for entry in inputs])))
    names = ["output"] if len(found) == 1 else [f"output_{i}" for i in range(len(found))]
    return graph, given, [graph.output(v, n) for v, n in zip(found, names, strict=True)]


def _normalized(model: Module, x: Value) -> Value:
    how = model.input_normalization
    if how is None:
        raise ArgumentError(
            "export: expected a model with input_normalization for normalize=True, got none; assign nx.Normalization(mean, std)"
        )
    values = [sampling.reshape(x.graph.constant(v, FLOAT), [-1, 1, 1]) for v in (how.mean, how.std)]
    x = x if how.scale is None else x / how.scale
    return (x - values[0]) / values[1]


def class_list(model: Module, class_names: Sequence[str] | None) -> list[str] | None:
    """Names of a model's output channels as a list; of one channel there may be two, the first for what it is not.

    Raises
    ------
    ArgumentError
        If there are more or fewer than channels.
    """
    if class_names is None:
        return None
    names, outputs = [str(n) for n in class_names], getattr(model, "out_channels", None)
    if isinstance(class_names, str) or (isinstance(outputs, int) and len(names) != outputs and (outputs, len(names)) != (1, 2)):
        raise ArgumentError(f"export: expected a list of {outputs} class names, got {class_names!r}; name each channel of the output")
    return names


def _metadata(model: Module, class_names: list[str] | None, normalize: bool) -> dict[str, str]:
    how = model.input_normalization
    texts = {"neurenix.version": __version__, "neurenix.class": class_name(type(model))}
    if how is not None:
        texts["neurenix.normalization"] = json.dumps({"mean": how.mean, "std": how.std, "scale": how.scale, "in_graph": normalize})
    if class_names is not None:
        texts["neurenix.classes"] = json.dumps(class_names)
    return texts


def _proto(onnx: Any, graph: Graph, given: Sequence[Shaped], found: Sequence[Shaped], texts: Mapping[str, str]) -> Any:
    """The file's content."""
    types = {np.dtype(t): onnx.helper.np_dtype_to_tensor_dtype(np.dtype(t)) for t in ("float32", "float64", "int64", "bool")}
    infos = [onnx.helper.make_tensor_value_info(v.name, types[v.dtype], _dims(v, shape)) for v, shape in given]
    last = [onnx.helper.make_tensor_value_info(v.name, types[v.dtype], _dims(v, shape)) for v, shape in found]
    nodes = [onnx.helper.make_node(n.op, n.inputs, n.outputs, n.name, **n.attributes) for n in graph.nodes]
    values = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in graph.initializers.items()]
    body = onnx.helper.make_graph(nodes, "neurenix", infos, last, values)
    made = {"producer_name": "neurenix", "producer_version": __version__, "ir_version": _IR_VERSION}
    proto = onnx.helper.make_model(body, opset_imports=[onnx.helper.make_opsetid("", OPSET)], **made)
    onnx.helper.set_model_props(proto, dict(texts))
    return proto


def _dims(v: Value, shape: Shape) -> list[int | str]:
    names = ["batch", "channels", "height", "width"] if v.rank == 4 else ["batch", *(f"axis_{i}" for i in range(1, v.rank))]
    free = [names[0] if i == 0 else f"{v.name}_{name}" for i, name in enumerate(names)]
    return [free[i] if n is None else n for i, n in enumerate(shape)]


def check_onnx(
    model: Module,
    path: str | os.PathLike[str],
    *,
    inputs: Inputs | None = None,
    sizes: Sequence[tuple[int, ...]] = ((64, 64), (97, 61), (33, 128)),
    normalize: bool = False,
    seed: int = 0,
) -> float:
    """How far ONNX Runtime's results are from the model's own, on random images.

    Parameters
    ----------
    model : Module
        What was exported.
    path : path
        The file.
    inputs : sequence, optional
        As :func:`onnx` was given them.
    sizes : sequence of (int, int)
        Heights and widths; of a list of maps, each has half the size of the one before, rounded up.
    normalize : bool
        As :func:`onnx` was given it: the model's own results are then those of the normalised images.
    seed : int
        Of the images.

    Returns
    -------
    float
        The largest difference, relative to the largest magnitude of all outputs.

    Raises
    ------
    BackendUnavailableError
        If the package ``onnxruntime`` is not installed.
    FileError
        If ONNX Runtime does not take the file, or gives other shapes.
    DTypeError
        If ``model`` is no module.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.nn.Sequential(nx.nn.Conv2d(1, 2, 3), nx.nn.ReLU())
    >>> nx.export.onnx(model, "model.onnx")
    >>> nx.export.check_onnx(model, "model.onnx", sizes=[(9, 8)]) < 1e-5
    True
    """
    if not isinstance(model, Module):
        raise DTypeError(f"check_onnx: expected a module, got {type(model).__name__}; pass the model first, then the path")
    runtime = load("onnxruntime", "running ONNX files", "export")
    try:
        session = runtime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds, which share no base
        raise FileError(f"check_onnx: expected a file that ONNX Runtime takes, got {error} for {path}; export it again") from None
    taken, worst = structure(model, inputs), 0.0
    for size in sizes:
        arrays = examples(model, taken, size, seed)
        feeds = {entry.name: array for entry, array in zip(session.get_inputs(), flat_arrays(arrays), strict=True)}
        ours = computed(model, arrays, normalize)
        theirs = session.run(None, feeds)
        if [a.shape for a in ours] != [b.shape for b in theirs]:
            raise FileError(
                f"export: expected outputs {[a.shape for a in ours]} of {path} at {size}, got {[b.shape for b in theirs]}; export it again"
            )
        worst = max(worst, distance(ours, theirs))
    return worst


def distance(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """The largest difference, relative to the largest magnitude."""
    off = [np.abs(a.astype(np.float64) - b).max(initial=0.0) for a, b in zip(ours, theirs, strict=True)]
    return float(max(off) / max(*(np.abs(a).max(initial=0.0) for a in ours), 1e-30))
