"""A table of what a model is made of, and of what it costs to run."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

from neurenix import autograd
from neurenix.errors import ArgumentError, NeurenixWarning
from neurenix.nn.module import Module
from neurenix.tensor import Tensor

_HEAD = ("layer", "kind", "output", "parameters", "multiply-adds", "MiB")


class Layer(NamedTuple):
    """One call of a layer: its dotted name and class, what it returned, and what that took."""

    name: str
    kind: str
    output: str
    parameters: int
    multiply_adds: int
    output_bytes: int


class Summary(str):
    """A summary as text, with its numbers.

    Attributes
    ----------
    layers : list of Layer
        Rows of the table.
    parameters, trainable_parameters : int
        Number of values in all parameters, and in those that take a gradient.
    multiply_adds : int
        Of one forward pass over these inputs.
    parameter_bytes, buffer_bytes, input_bytes, activation_bytes : int
        Memory of parameters, buffers, inputs, and of the outputs of all layers.
    """

    layers: list[Layer]
    parameters: int
    trainable_parameters: int
    multiply_adds: int
    parameter_bytes: int
    buffer_bytes: int
    input_bytes: int
    activation_bytes: int

    def __repr__(self) -> str:
        return str(self)


class _Call:
    """A module's call on its way: what it did itself, and what those inside it did."""

    def __init__(self, module: Module, level: int) -> None:
        self.module, self.level = module, level
        self.own = self.inside = self.bytes = self.bytes_inside = 0
        self.output, self.has_calls = "", False


class _Watch:
    """Notes the calls of a model's modules and the products they compute."""

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self.running: list[_Call] = []

    def enter(self, module: Module, _: Any) -> None:
        if self.running:
            self.running[-1].has_calls = True
        self.calls.append(_Call(module, len(self.running)))
        self.running.append(self.calls[-1])

    def leave(self, _: Module, __: Any, output: Any) -> None:
        call = self.running.pop()
        call.output, size = _shape(output), _size(output)
        call.bytes = size
        call.bytes_inside = call.bytes_inside if call.has_calls else size
        if self.running:
            self.running[-1].inside += call.own + call.inside
            self.running[-1].bytes_inside += call.bytes_inside

    def count(self, op: str, result: Any, inputs: tuple[Tensor, ...]) -> None:
        if self.running:
            self.running[-1].own += products(op, result.shape, inputs)


def products(op: str, result: tuple[int, ...], inputs: tuple[Tensor, ...]) -> int:
    """Multiply-adds of one operation; sums, norms, activations and pooling count none, as in published figures."""
    if op.startswith("conv_transpose"):
        return math.prod(inputs[0].shape) * math.prod(inputs[1].shape[1:])
    if op in ("conv1d", "conv2d", "conv3d"):
        return math.prod(result) * math.prod(inputs[1].shape[1:])
    return math.prod(result) * inputs[0].shape[-1] if op in ("linear", "matmul") else 0


def summary(model: Module, *inputs: Any, depth: int | None = None) -> Summary:
    """A table of a model's layers in the order in which they run: output shapes, parameters, multiply-adds and memory.

    Parameters
    ----------
    model : Module
        It is run once, in evaluation mode and unrecorded, and left in the mode it was in.
    *inputs : Tensor, array or tuple of int
        What it is called with; a tuple of integers stands for zeros of this shape.
    depth : int, optional
        Show modules down to this level and what is inside them in one row: 0 is the model itself, 1 the modules that it calls.
        All layers by default.

    Returns
    -------
    Summary
        Text to be printed, with the numbers as attributes.

    Raises
    ------
    ArgumentError
        For a negative ``depth``.

    Notes
    -----
    Multiply-adds are those of convolutions, linear layers and matrix products, wherever they are called. The last column is the
    memory of a row's output, or of all outputs inside it. A layer that is called again counts its parameters once.

    Examples
    --------
    >>> import neurenix as nx
    >>> print(nx.nn.summary(nx.nn.Sequential(nx.nn.Linear(256, 128), nx.nn.ReLU()), (512, 256)))
    layer   kind     output       parameters   multiply-adds    MiB
    0       Linear   (512, 128)       32,896      16,777,216   0.25
    1       ReLU     (512, 128)            0               0   0.25
    total                             32,896      16,777,216   0.50
    trainable parameters 32,896; parameters 0.13 MiB, buffers 0.00 MiB, input 0.50 MiB
    """
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise ArgumentError(f"summary: expected depth of at least 0 or None, got {depth!r}; pass e.g. 1 for the model's own modules")
    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    given = [_as_input(x, first) for x in inputs]
    watch = _Watch()
    handles = [m.register_forward_pre_hook(watch.enter, prepend=True) for m in model.modules()]
    handles += [m.register_forward_hook(watch.leave) for m in model.modules()]
    modes = {module: module.training for module in model.modules()}
    try:
        with autograd.no_grad(), autograd.watched(watch.count), warnings.catch_warnings():
            warnings.simplefilter("ignore", NeurenixWarning)  # of few running statistics: no value is looked at
            model.eval()(*given)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return _written(model, _rows(model, watch.calls, depth), watch.calls[0], sum(map(_size, given)))


def _as_input(value: Any, like: Tensor | None) -> Any:
    if not isinstance(value, tuple) or not value or not all(isinstance(n, int) and not isinstance(n, bool) for n in value):
        return value
    return Tensor(shape=value) if like is None else Tensor(shape=value, dtype=like.dtype, device=like.device)


def _rows(model: Module, calls: list[_Call], depth: int | None) -> list[Layer]:
    names = {id(module): name for name, module in reversed(list(model.named_modules(remove_duplicate=False)))}
    rows, counted = [], set[int]()
    for call in calls:
        whole = call.level == depth or not call.has_calls
        if depth is not None and call.level > depth:
            continue
        kept = [p for p in call.module.parameters(recurse=whole) if id(p) not in counted]
        counted.update(map(id, kept))
        parameters = sum(math.prod(p.shape) for p in kept)
        products = call.own + (call.inside if whole else 0)
        if whole or parameters or products:
            size = call.bytes_inside if whole else 0
            rows.append(Layer(names[id(call.module)], type(call.module).__name__, call.output, parameters, products, size))
    return rows


def _written(model: Module, rows: list[Layer], whole: _Call, input_bytes: int) -> Summary:
    parameter_bytes, buffer_bytes = (sum(map(_size, found)) for found in (model.parameters(), model.buffers()))
    total, trainable = model.num_parameters(), model.num_parameters(trainable_only=True)
    products = whole.own + whole.inside
    lines = [(r.name, r.kind, r.output, f"{r.parameters:,}", f"{r.multiply_adds:,}", _mib(r.output_bytes)) for r in rows]
    lines.append(("total", "", "", f"{total:,}", f"{products:,}", _mib(whole.bytes_inside)))
    sizes = f"parameters {_mib(parameter_bytes)} MiB, buffers {_mib(buffer_bytes)} MiB, input {_mib(input_bytes)} MiB"
    text = Summary(f"{_table([_HEAD, *lines])}\ntrainable parameters {trainable:,}; {sizes}")
    text.layers, text.parameters, text.trainable_parameters, text.multiply_adds = rows, total, trainable, products
    text.parameter_bytes, text.buffer_bytes, text.input_bytes = parameter_bytes, buffer_bytes, input_bytes
    text.activation_bytes = whole.bytes_inside
    return text


def _mib(count: int) -> str:
    return f"{count / 2**20:,.2f}"


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return str(value.shape)
    return f"[{', '.join(map(_shape, value))}]" if isinstance(value, (list, tuple)) else type(value).__name__


def _size(value: Any) -> int:
    """Bytes of the tensors and arrays in a value."""
    if isinstance(value, (list, tuple)):
        return sum(map(_size, value))
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return math.prod(value.shape) * value.dtype.itemsize if hasattr(value, "shape") and hasattr(value, "dtype") else 0


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))) for row in rows
    )
