"""Finding the operation that made the first NaN."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from typing import Any

import numpy as np

from neurenix import backend
from neurenix._typing import Array
from neurenix.errors import AnomalyError

_on: ContextVar[bool] = ContextVar("anomaly", default=False)


class detect_anomaly(ContextDecorator):  # noqa: N801 - PyTorch's name
    """Context manager and decorator under which the operation that makes the first NaN raises, forward or backward.

    Every result is looked at, which is slow: for finding a fault, not for training.

    Raises
    ------
    AnomalyError
        Inside it, with the operation's name, whether its inputs had NaN already, and their ranges.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([0.0, 4.0], requires_grad=True)
    >>> try:
    ...     with nx.detect_anomaly():
    ...         (nx.sqrt(x) * 0).sum().backward()  # 0 times an infinite slope
    ... except nx.errors.AnomalyError as error:
    ...     print(str(error).partition(",")[0])
    backward of sqrt: expected numbers
    """

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def _recreate_cm(self) -> detect_anomaly:
        return type(self)()

    def __enter__(self) -> None:
        self._tokens.append(_on.set(True))

    def __exit__(self, *_: object) -> None:
        _on.reset(self._tokens.pop())


def is_detecting() -> bool:
    """Whether results are looked at here."""
    return _on.get()


def check_results(op: str, results: Sequence[Array], inputs: Sequence[Array]) -> None:
    """Raise where an operation's results have NaN."""
    for i, result in enumerate(results):
        count = _nans(result)
        if count:
            where = "" if len(results) == 1 else f" in result {i}"
            raise AnomalyError(f"{op}: expected numbers, got {count} NaN of {result.size}{where}, {_origin('input', inputs)}")


def check_gradients(op: str, gradients: Sequence[Array | None], given: Array) -> None:
    """Raise where an operation's rule gives NaN."""
    for i, gradient in enumerate(gradients):
        count = 0 if gradient is None else _nans(gradient)
        if gradient is not None and count:
            text = f"backward of {op}: expected numbers, got {count} NaN of {gradient.size} in the gradient of input {i}"
            raise AnomalyError(f"{text}, {_origin('gradient', [given])}")


def _host(array: Array) -> np.ndarray[Any, Any]:
    return backend.to_numpy(array)


def _nans(array: Array) -> int:
    return int(np.isnan(_host(array)).sum()) if array.dtype.kind == "f" else 0


def _origin(what: str, sources: Sequence[Array]) -> str:
    """Whether NaN came in or was made here, and from which ranges."""
    came = [i for i, a in enumerate(sources) if _nans(a)]
    if came:
        return f"which came in by {what} {came[0]}; look at where that one is from (data, or parameters after a bad step)"
    ranges = [
        f"{what} {i} in [{_host(a).min():.4g}, {_host(a).max():.4g}]" for i, a in enumerate(sources) if a.size and a.dtype.kind in "fiu"
    ]
    return f"made here from {', '.join(ranges) or 'inputs without NaN'}; look at these ranges"
