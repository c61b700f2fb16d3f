"""Sizes and numbers for one example of a property, drawn by hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

Shape = tuple[int, ...]


class Draw:
    """What a row of the table asks for: small sizes from hypothesis, numbers from a seed that hypothesis draws."""

    def __init__(self, draw: Any, empty: bool = False) -> None:
        self._draw, self.empty = draw, empty

    def int(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def pick(self, *values: Any) -> Any:
        return self._draw(st.sampled_from(values))

    def flag(self) -> bool:
        return self.pick(False, True)

    def shape(self, least: int = 0, most: int = 4, side: int = 4) -> Shape:
        """Sizes, ones among them; at least one is zero where empty arrays are asked for."""
        sizes = [self.int(1, side) for _ in range(self.int(max(least, self.empty), most))]
        if self.empty:
            sizes[self.int(0, len(sizes) - 1)] = 0
        return tuple(sizes)

    def map(self, n: int, channels: int | None = None, low: int = 1, high: int = 6) -> Shape:
        """(N, C, ...) with ``n`` axes of pixels."""
        batch = 0 if self.empty else self.int(1, 3)
        return (batch, self.int(1, 4) if channels is None else channels, *(self.int(low, high) for _ in range(n)))

    def narrower(self, shape: Shape) -> Shape:
        """A shape that broadcasts to ``shape``: some sizes are 1, some first axes are gone."""
        ones = tuple(1 if self.flag() else s for s in shape)
        return ones[self.int(0, len(ones)) :]

    def dim(self, ndim: int) -> int:
        return self.int(-ndim, ndim - 1)

    def dims(self, ndim: int) -> tuple[int, ...]:
        """Some axes, each once, some counted from the end."""
        some = self._draw(st.permutations(range(ndim)))[: self.int(1, ndim)] if ndim else []
        return tuple(d - ndim if self.flag() else d for d in some)

    def order(self, n: int) -> tuple[int, ...]:
        return tuple(self._draw(st.permutations(range(n))))

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(self.int(0, 2**16))

    def numbers(self, *shape: int, low: float = -2.0, high: float = 2.0, kinks: Sequence[float] = (), gap: float = 0.01) -> Any:
        """Uniform numbers, none nearer to a kink than ``gap``."""
        x = self.generator().uniform(low, high, shape)
        for kink in kinks:
            near = np.abs(x - kink) < gap
            x = np.where(near, kink + np.where(x < kink, -gap, gap), x)
        return np.asarray(x)

    def distinct(self, *shape: int, step: float = 0.05) -> Any:
        """Numbers no two of which are nearer than ``step``, in random order, none of them near zero."""
        n = int(np.prod(shape))
        return np.asarray((self.generator().permutation(n) - n // 2) * step + step / 3).reshape(shape)

    def index(self, n: int, *shape: int) -> Any:
        return np.asarray(self.generator().integers(0, n, shape))

    def mask(self, *shape: int) -> Any:
        return np.asarray(self.generator().random(shape) < 0.5)


class Seeded(Draw):
    """Sizes and numbers from a generator: the same each time."""

    def __init__(self, seed: int, empty: bool = False) -> None:
        super().__init__(None, empty)
        self._rng = np.random.default_rng(seed)

    def int(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high + 1))

    def pick(self, *values: Any) -> Any:
        return values[int(self._rng.integers(len(values)))]

    def order(self, n: int) -> tuple[int, ...]:
        return tuple(int(i) for i in self._rng.permutation(n))

    def dims(self, ndim: int) -> tuple[int, ...]:
        return self.order(ndim)[: self.int(1, ndim)] if ndim else ()
