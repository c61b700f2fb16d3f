"""What a model remembers of its last forward pass, for the getters of its features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from neurenix import autograd, random
from neurenix.errors import GraphError
from neurenix.nn import walking
from neurenix.nn.module import Module
from neurenix.ops import state
from neurenix.ops.norm import keep_running_statistics
from neurenix.tensor import Tensor

Features: TypeAlias = dict[str, list[Tensor]]


class Memory:
    """Feature maps of the last forward pass, or the input to compute them from again.

    A pass keeps its input only. The first question computes the maps again, recorded where the pass was; from then on every pass
    keeps them.
    """

    def __init__(self) -> None:
        self.features: Features | None = None
        self.input: Tensor | None = None
        self.keeps = False  # whether somebody asks
        self._weights: list[Any] = []
        self._kept = walking.Kept()
        self._state: tuple[bool, bool, tuple[int, int]] = (True, True, (0, 0))

    def __deepcopy__(self, _: dict[int, Any]) -> Memory:
        """A copy of a model starts without a last pass."""
        return Memory()

    def __reduce__(self) -> tuple[Any, ...]:
        return Memory, ()

    def begin(self, model: Module) -> None:
        """Drop what is remembered: a pass starts."""
        self.features = self.input = None
        self._state = (model.training, autograd.is_grad_enabled(), random.get_rng_state())

    def end(self, model: Module, x: Tensor, features: Features) -> None:
        """Remember a pass."""
        self.input, self._weights = x, state.fingerprints(self._kept.tensors(model, Module))
        if self.keeps:
            self.features = features

    def get(self, model: Module, getter: str, name: str, compute: Callable[[Tensor], Features]) -> list[Tensor]:
        """Features of the last pass by their name.

        Raises
        ------
        GraphError
            Before any pass, or after parameters or buffers changed.
        """
        if self.input is None:
            raise GraphError(f"{getter}: expected a forward pass before it, got none; call the model on an image first")
        now = [id(t) for t in model._named_state().values()]
        if [id(t) for t, _, _ in self._weights] != now or not state.unchanged(self._weights):
            raise GraphError(
                f"{getter}: expected the weights of the last forward pass, got weights that changed since; call the model again"
            )
        if self.features is None:
            self.keeps = True
            self.features = self._again(model, compute)
        return list(self.features[name])

    def _again(self, model: Module, compute: Callable[[Tensor], Features]) -> Features:
        training, recorded, random_state = self._state
        again = random.run_again("get_encoder_features")
        now = {m: m.training for m in model.modules()}
        try:
            model.train(training)
            with autograd.enable_grad() if recorded else autograd.no_grad(), random.replay(random_state), again, keep_running_statistics():
                return compute(self.input) if self.input is not None else {}
        finally:
            for module, mode in now.items():
                module.training = mode
