"""A table of what a model is made of."""

from __future__ import annotations

from typing import Any

from neurenix import autograd
from neurenix.nn.module import Module
from neurenix.tensor import Tensor


def summary(model: Module, *inputs: Any) -> str:
    """A table of a model's layers in the order in which they run: output shapes and numbers of parameters.

    Parameters
    ----------
    model : Module
        It is run once, in evaluation mode and unrecorded, and left in the mode it was in.
    *inputs : Tensor or array
        What it is called with.

    Returns
    -------
    str
        To be printed.

    Examples
    --------
    >>> import neurenix as nx
    >>> print(nx.nn.summary(nx.nn.Sequential(nx.nn.Linear(3, 2)), nx.zeros(5, 3)))
    layer   kind     output   parameters
    0       Linear   (5, 2)            8
    total                              8
    """
    rows: list[tuple[str, str, str, str]] = []
    handles = [
        module.register_forward_hook(
            lambda m, _, out, name=name: rows.append((name, type(m).__name__, _shape(out), f"{m.num_parameters():,}"))
        )
        for name, module in model.named_modules()
        if next(module.children(), None) is None
    ]
    modes = {module: module.training for module in model.modules()}
    try:
        with autograd.no_grad():
            model.eval()(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return _table([("layer", "kind", "output", "parameters"), *rows, ("total", "", "", f"{model.num_parameters():,}")])


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return str(value.shape)
    return f"[{', '.join(map(_shape, value))}]" if isinstance(value, (list, tuple)) else type(value).__name__


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        "   ".join(cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))) for row in rows
    )
