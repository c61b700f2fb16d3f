"""How exactly float32 convolutions and products are computed: one setting for both devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Final

from neurenix.errors import ArgumentError

PRECISIONS: Final = ("ieee", "fast", "tf32")
HALVES: Final = ("bfloat16", "float16")  # what autocast sets on a GPU around an operation: kernels round to these
_everywhere = "fast"
_here: ContextVar[str | None] = ContextVar("float32_precision", default=None)


class set_float32_precision:  # noqa: N801 - read as a function
    """Choose how float32 convolutions and matrix products are computed, from now on or inside a ``with``.

    Parameters
    ----------
    precision : {"ieee", "fast", "tf32"}
        "ieee": direct sums in IEEE float32. "fast", the default: within 1.5e-6 of exact a layer (relative L2), by Winograd's
        algorithm F(4x4, 3x3) on a CPU (see below) and three TF32 products a multiplication on a GPU. "tf32": a GPU's tensor cores at their own 1e-3;
        on a CPU the same as "fast". float64 is always computed directly.

    Raises
    ------
    ArgumentError
        If ``precision`` is none of them.

    Notes
    -----
    Called plainly it holds for the whole process; in a ``with`` for that block and thread or task only. A gradient is computed
    under the setting that holds while ``backward`` runs.

    Winograd's algorithm runs on a CPU where windows are 3x3 with stride and dilation 1, in one group, and inputs and outputs have at
    least 16 channels; all else is direct. It computes outputs in tiles of 4x4, each from a patch of 6x6 inputs: an output
    is within ``16 * eps * (largest magnitude in the patch) * (sum of the weights' magnitudes)``, and a NaN or infinity in a patch makes the
    whole tile NaN, where direct sums would spoil only the outputs that see it. For maps with values like -9999 that
    stand for missing data, fill these pixels first, or use "ieee".
    Gradients of weights go the same way, with about four times the rounding of direct sums.

    Examples
    --------
    >>> import neurenix as nx
    >>> with nx.set_float32_precision("ieee"):
    ...     print(nx.get_float32_precision())
    ieee
    >>> nx.get_float32_precision()
    'fast'
    """

    def __init__(self, precision: str) -> None:
        global _everywhere
        if precision not in PRECISIONS:
            raise ArgumentError(f'set_float32_precision: expected "ieee", "fast" or "tf32", got {precision!r}; pass one of them')
        self.precision = precision
        self._before = (_everywhere, _here.get())
        self._token: Token[str | None] | None = None
        if _here.get() is None:
            _everywhere = precision
        else:
            _here.set(precision)

    def __enter__(self) -> None:
        global _everywhere
        _everywhere, here = self._before
        _here.set(here)
        self._token = _here.set(self.precision)

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _here.reset(self._token)
            self._token = None

    def __repr__(self) -> str:
        return f"float32 precision {self.precision!r}"


def get_float32_precision() -> str:
    """How float32 convolutions and products are computed here: "ieee", "fast" or "tf32".

    Examples
    --------
    >>> import neurenix as nx
    >>> with nx.set_float32_precision("ieee"):
    ...     nx.get_float32_precision()
    'ieee'
    """
    return _here.get() or _everywhere


@contextmanager
def within(precision: str) -> Iterator[None]:
    """The precision of a block, for this thread or task."""
    token = _here.set(precision)
    try:
        yield
    finally:
        _here.reset(token)


def override(precision: str) -> None:
    """Set the precision of this thread or task only."""
    _here.set(precision)
