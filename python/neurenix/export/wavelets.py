"""How wavelet transforms become operators of ONNX: by lifting, for floats (N, C, H, W)."""

from __future__ import annotations

from typing import Any

from neurenix.export.functions import cat
from neurenix.export.graph import Graph, Value, rule
from neurenix.export.sampling import gather, part, size, span
from neurenix.multiscale import CDF53Wavelet, HaarWavelet

_END = 1 << 62


def _first(x: Value, axis: int, count: Value) -> Value:
    return gather(x, span(count), axis)


def _haar(even: Value, odd: Value, axis: int) -> tuple[Value, Value]:
    g, n = even.graph, size(odd, axis)
    high = _first(even, axis, n) - odd
    rest = g.node("Slice", even, n, g.constant([_END]), g.constant([axis]))
    return cat([odd + high * 0.5, rest], axis), high


def _cdf53(even: Value, odd: Value, axis: int) -> tuple[Value, Value]:
    evens, odds = size(even, axis), size(odd, axis)
    following = (span(odds) + 1).at_most(evens - 1)
    high = odd - (_first(even, axis, odds) + gather(even, following, axis)) * 0.5
    k, last = span(evens), (odds - 1).at_least(0)
    padded = cat([high, part(even, axis, 0, 1) * 0.0], axis)  # of one pixel there is no distance: 0
    around = [gather(padded, index.at_most(last), axis) for index in ((k - 1).at_least(0), k)]
    return even + (around[0] + around[1]) * 0.25, high


@rule(HaarWavelet, CDF53Wavelet)
def _wavelet(_graph: Graph, m: Any, x: Value) -> list[Any]:
    step, low, found = _haar if isinstance(m, HaarWavelet) else _cdf53, x, list[Any]()

    def lift(y: Value, axis: int) -> tuple[Value, Value]:
        return step(part(y, axis, 0, _END, 2), part(y, axis, 1, _END, 2), axis)

    for _ in range(m.num_levels):
        (low, vertical), (horizontal, diagonal) = (lift(y, 3) for y in lift(low, 2))
        found.append([horizontal, vertical, diagonal])
    return [*found, low]
