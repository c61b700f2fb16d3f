"""What encoders share: which maps they give, and how another library's weights come in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from neurenix.checkpoint import segment
from neurenix.errors import ArgumentError
from neurenix.multiscale import _checks
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor


class Encoder(Module):
    """A backbone in stages, each of which gives a map; a subclass defines :meth:`_stage`."""

    _makes_segments = True
    _heads: tuple[str, ...] = ()  # how names of the classifier begin, which torchvision's files hold and an encoder does not
    in_channels: int
    out_channels: list[int]
    strides: list[int]

    def _choose(self, out_indices: Sequence[int] | None, channels: Sequence[int], strides: Sequence[int]) -> int:
        """Settle which maps are given; return how many stages that takes."""
        name, n = type(self).__name__, len(channels)
        chosen = list(range(n)) if out_indices is None else [integer(name, "out_indices", i, 0) for i in out_indices]
        if not chosen or sorted(set(chosen)) != chosen or chosen[-1] >= n:
            raise ArgumentError(
                f"{name}: expected out_indices as rising numbers of maps from 0 to {n - 1}, got {out_indices!r}; pass e.g. out_indices=[{n - 2}, {n - 1}]"
            )
        self.out_indices = chosen
        self.out_channels, self.strides = [channels[i] for i in chosen], [strides[i] for i in chosen]
        return chosen[-1] + 1

    def _stage(self, x: Tensor, i: int) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__}: expected a method _stage(self, x, i), got none; define it")

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the chosen maps of (N, in_channels, H, W), finest first."""
        x = _checks.float_map(type(self).__name__, x, self.in_channels)
        found = []
        for i in range(self.out_indices[-1] + 1):
            x = segment(self._stage, x, i)
            if i in self.out_indices:
                found.append(x)
        return found

    def _fill_from(self, weights: str | os.PathLike[str] | Mapping[str, Any] | None) -> None:
        """Take over weights that have torchvision's names; a classifier's and those of stages that are not here are left out."""
        if weights is not None:
            from neurenix.serialization.weights import load_weights  # an import that few models need

            load_weights(self, weights, ignore=(*self._heads, *self._absent()), adapt_input=True)

    def _absent(self) -> list[str]:
        """How names of stages begin that this encoder was built without."""
        return []
