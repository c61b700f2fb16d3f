"""Errors that the documentation promises: their type and their text, one line each.

Each text has the form ``op: expected what, got what; what to do``. The table grows with the library; tests of one operation's own
arguments stand beside that operation's tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neurenix as nx
from neurenix import errors

CASES: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    (errors.ArgumentError, "Tensor: expected either data or shape=, got neither; pass one of them", nx.Tensor),
    (errors.ArgumentError, "Tensor: expected either data or shape=, got both; pass one of them", lambda: nx.Tensor([1], shape=(1,))),
    (errors.ShapeError, "Tensor: expected sizes that are integers of at least 0, got shape=(-1,)", lambda: nx.Tensor(shape=(-1,))),
    (
        errors.ShapeError,
        "Tensor: expected sizes that are integers of at least 0, got shape=(nan, 2)",
        lambda: nx.Tensor(shape=(float("nan"), 2)),
    ),
    (errors.DTypeError, "Tensor: expected a plain array, got a masked array", lambda: nx.Tensor(np.ma.masked_array([1.0], [True]))),
    (
        errors.DTypeError,
        "Tensor: expected float16, float32, float64, an integer type or bool, got complex128",
        lambda: nx.Tensor(np.array([1j])),
    ),
    (errors.DTypeError, "requires_grad_: expected a float tensor, got int64", lambda: nx.tensor([1]).requires_grad_()),
    (errors.ArgumentError, 'device: expected "cpu", "cuda" or "cuda:N", got \'tpu\'', lambda: nx.Tensor([1], device="tpu")),
    (errors.ShapeError, "item: expected one element, got shape (2,)", lambda: nx.Tensor([1, 2]).item()),
    (errors.GraphError, "backward: expected a tensor that was recorded", lambda: nx.Tensor([1]).backward()),
]


@pytest.mark.parametrize(("kind", "text", "call"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_raises(kind: type[Exception], text: str, call: Callable[[], Any]) -> None:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(text), message
    assert "expected" in message
    assert "got" in message
    assert ";" in message, f"the message does not say what to do: {message}"


@pytest.mark.parametrize("name", [n for n in vars(errors) if n.endswith("Error") and n != "NeurenixError"])
def test_each_error_is_also_a_built_in_one(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.NeurenixError)
    assert any(base.__module__ == "builtins" and base not in (Exception, BaseException, object) for base in kind.__mro__)
