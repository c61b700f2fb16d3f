"""What a module keeps: parameters, which are trained, and buffers, which are only saved."""

from __future__ import annotations

from typing import Any

from neurenix.tensor import Tensor


class Parameter(Tensor):
    """A tensor that a module trains: wherever it stands among the module's attributes, ``parameters()`` finds it.

    Parameters
    ----------
    data : Tensor, array or sequence of numbers
        Start value. An array or tensor is taken without a copy.
    requires_grad : bool
        Whether ``backward`` computes its gradient.

    Raises
    ------
    DTypeError
        If the elements are not floats and ``requires_grad`` is true.

    Examples
    --------
    >>> import neurenix as nx
    >>> class Scale(nx.nn.Module):
    ...     def __init__(self):
    ...         self.factor = nx.nn.Parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> [name for name, _ in Scale().named_parameters()]
    ['factor']
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data)
        self.requires_grad_(requires_grad)

    def __getstate__(self) -> tuple[Any, ...]:
        """Copies and pickles have no gradient, as PyTorch's."""
        (array, exposed, _, *rest), more = super().__getstate__()
        return (array, exposed, None, *rest), more

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A tensor that a module saves and moves but does not train, such as running statistics.

    Parameters
    ----------
    data : Tensor, array or sequence of numbers
        Start value, of any element type. An array or tensor is taken without a copy.
    persistent : bool
        Whether it is part of state dicts.

    Examples
    --------
    >>> import neurenix as nx
    >>> class Centre(nx.nn.Module):
    ...     def __init__(self):
    ...         self.mean = nx.nn.Buffer([0.5])
    ...         self.calls = nx.nn.Buffer([0], persistent=False)
    >>> model = Centre()
    >>> list(model.state_dict()), model.num_parameters()
    (['mean'], 0)
    """

    __slots__ = ()
    persistent: bool = True

    def __new__(cls, data: Any = None, persistent: bool = True) -> Buffer:  # noqa: ARG004 - __init__ takes it
        """One that is not persistent is of a class of its own, so that copies and pickles are too."""
        return super().__new__(cls if persistent else PassingBuffer)

    def __init__(self, data: Any, persistent: bool = True) -> None:  # noqa: ARG002 - __new__ has seen to it
        super().__init__(data)

    def __repr__(self) -> str:
        return f"Buffer containing:\n{super().__repr__()}"


class PassingBuffer(Buffer):
    """A buffer that stays out of state dicts."""

    __slots__ = ()
    persistent = False
