"""Averages of weights over training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from neurenix import backend, layout
from neurenix.errors import ArgumentError, DTypeError, FileError
from neurenix.ops import optim as steps
from neurenix.tensor import Tensor


class ExponentialMovingAverage:
    """A running average of parameters, often better than the last of them: ``average += (1 - decay) (p - average)``.

    Parameters
    ----------
    params : iterable of Tensor
        ``model.parameters()``.
    decay : float
        How much of the average is kept each :meth:`update`, 0 to 1.

    Raises
    ------
    ArgumentError
        If ``decay`` is not in [0, 1], or there are no parameters.
    DTypeError
        If ``params`` is no iterable of tensors.

    Examples
    --------
    >>> import neurenix as nx
    >>> p = nx.tensor([1.0])
    >>> ema = nx.optim.ExponentialMovingAverage([p], decay=0.5)
    >>> _ = p.assign_(nx.tensor([3.0]))
    >>> ema.update()
    >>> with ema.applied():
    ...     p.tolist()
    [2.0]
    >>> p.tolist()
    [3.0]
    """

    def __init__(self, params: Iterable[Tensor], decay: float = 0.999) -> None:
        if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0.0 <= decay <= 1.0:
            raise ArgumentError(f"ExponentialMovingAverage: expected a decay in [0, 1], got {decay!r}; pass e.g. 0.999")
        self.params = list(params) if isinstance(params, Iterable) and not isinstance(params, Tensor) else [params]
        if not all(isinstance(p, Tensor) for p in self.params) or isinstance(params, Tensor):
            raise DTypeError(
                f"ExponentialMovingAverage: expected an iterable of parameters, got {type(params).__name__}; pass model.parameters()"
            )
        if not self.params:
            raise ArgumentError("ExponentialMovingAverage: expected parameters, got none; pass model.parameters()")
        self.decay = decay
        self.averages = [_copy(p._array) for p in self.params]

    def update(self) -> None:
        """Move the averages towards the parameters; call it after each optimizer step.

        Examples
        --------
        >>> import neurenix as nx
        >>> p = nx.tensor([0.0])
        >>> ema = nx.optim.ExponentialMovingAverage([p], decay=0.75)
        >>> _ = p.assign_(nx.tensor([8.0]))
        >>> ema.update()
        >>> ema.averages[0].tolist()
        [2.0]
        """
        kinds: dict[tuple[Any, str], list[int]] = {}
        for i, p in enumerate(self.params):
            kinds.setdefault((p.dtype, p.device), []).append(i)
        for chosen in kinds.values():
            steps.average_step([self.averages[i] for i in chosen], [layout.contiguous(self.params[i]._array) for i in chosen], self.decay)

    def copy_to(self) -> None:
        """Overwrite the parameters with the averages.

        Examples
        --------
        >>> import neurenix as nx
        >>> p = nx.tensor([0.0])
        >>> ema = nx.optim.ExponentialMovingAverage([p], decay=0.5)
        >>> _ = p.assign_(nx.tensor([8.0]))
        >>> ema.copy_to()  # the averages are of the 0 that it began with
        >>> p.tolist()
        [0.0]
        """
        for p, average in zip(self.params, self.averages, strict=True):
            p.assign_(Tensor._wrap(_copy(average)))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Use the averages as parameters inside the ``with``, for evaluation; behind it the trained ones are back, after an error too.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer = nx.nn.Linear(1, 1, bias=False)
        >>> _ = layer.weight.assign_([[1.0]])
        >>> ema = nx.optim.ExponentialMovingAverage(layer.parameters())
        >>> _ = layer.weight.assign_([[3.0]])
        >>> with ema.applied():
        ...     layer(nx.ones(1, 1)).tolist()
        [[1.0]]
        >>> layer(nx.ones(1, 1)).tolist()
        [[3.0]]
        """
        trained = [Tensor._wrap(p._array) for p in self.params]
        self.copy_to()
        try:
            yield
        finally:
            for p, value in zip(self.params, trained, strict=True):
                p.assign_(value)

    def state_dict(self) -> dict[str, Any]:
        """The decay and the averages, as read-only arrays.

        Examples
        --------
        >>> import neurenix as nx
        >>> ema = nx.optim.ExponentialMovingAverage([nx.tensor([1.0, 2.0])], decay=0.5)
        >>> ema.state_dict()
        {'decay': 0.5, 'averages': [array([1., 2.], dtype=float32)]}
        """
        return {"decay": self.decay, "averages": [Tensor._wrap(a).cpu().numpy() for a in self.averages]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave.

        Raises
        ------
        FileError
            If the averages are not those of these parameters; nothing is changed then.

        Examples
        --------
        >>> import neurenix as nx
        >>> before = nx.optim.ExponentialMovingAverage([nx.tensor([1.0, 2.0])], decay=0.5)
        >>> ema = nx.optim.ExponentialMovingAverage([nx.tensor([0.0, 0.0])])
        >>> ema.load_state_dict(before.state_dict())
        >>> ema.decay, ema.averages[0].tolist()
        (0.5, [1.0, 2.0])
        """
        if not isinstance(state_dict, dict) or not {"averages", "decay"} <= state_dict.keys():
            raise FileError(
                f"load_state_dict: expected a dict with 'decay' and 'averages', got {state_dict!r}; pass what state_dict() gave"
            )
        given = [Tensor(a) for a in state_dict["averages"]]
        if [a.shape for a in given] != [p.shape for p in self.params]:
            raise FileError("load_state_dict: expected averages of the parameters' shapes, got others; build it from the same model")
        self.decay = float(state_dict["decay"])
        self.averages = [
            backend.to_device(_copy(layout.cast(a._array, p.dtype)), p.device) for a, p in zip(given, self.params, strict=True)
        ]


def _copy(array: Any) -> Any:
    copy = backend.new(array, array.shape)
    layout.copy_into(copy, array)
    return copy
