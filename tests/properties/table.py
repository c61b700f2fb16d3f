"""The table of differentiable operations: one row each, with a generator of examples.

To add an operation, add ``row("name", lambda d: (function of tensors, array, ...))`` to the file of its family; ``d`` is a
:class:`properties.draws.Draw`. Arrays are float64 (varied) or integer and bool (kept).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from properties.draws import Draw

import neurenix as nx
from neurenix.nn import functional as F

Example = tuple[Any, ...]  # a function of tensors, then its arrays


class Row(NamedTuple):
    """One operation."""

    name: str
    function: Callable[..., Any]
    make: Callable[[Draw], Example]
    linear: tuple[int, ...]  # inputs in each of which it is affine, the others held
    batched: tuple[int, ...]  # inputs whose first axis is the batch, as the output's is
    empty: bool  # whether it takes arrays of no elements
    tolerance: float


ROWS: dict[str, Row] = {}


def function(name: str) -> Callable[..., Any]:
    """The public function of a name, from the top or from ``nn.functional``."""
    found = getattr(F, name, None) or getattr(nx, name)
    assert callable(found), name
    return found  # type: ignore[no-any-return]


def constant(array: Any, x: nx.Tensor) -> nx.Tensor:
    """A tensor that is not varied, on the device of ``x`` and of its element type where it is a float."""
    return nx.Tensor(array, dtype=x.dtype if array.dtype.kind == "f" else None, device=x.device)


def row(
    name: str,
    make: Callable[[Draw], Example],
    *,
    linear: tuple[int, ...] = (),
    batched: tuple[int, ...] = (),
    empty: bool = False,
    tolerance: float = 1e-6,
) -> None:
    """Add an operation, once, under the name without ``/form`` that the library has it by."""
    assert name not in ROWS, f"{name} is there twice"
    ROWS[name] = Row(name, function(name.partition("/")[0]), make, linear, batched, empty, tolerance)


def load() -> dict[str, Row]:
    """Every row of every family."""
    for family in ("elementwise", "reductions", "shapes", "products", "windows", "networks", "losses", "segmentation", "further"):
        importlib.import_module(f"properties.rows_{family}")
    return ROWS
