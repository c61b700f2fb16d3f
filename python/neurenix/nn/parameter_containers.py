"""Modules that hold parameters: in a list, by name."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from neurenix.errors import ArgumentError, RangeError
from neurenix.nn.module import Arguments, Module
from neurenix.nn.parameter import Parameter
from neurenix.tensor import Tensor


def _parameter(value: Any) -> Parameter:
    """A plain tensor or array becomes a parameter."""
    return value if isinstance(value, Parameter) else Parameter(value.detach() if isinstance(value, Tensor) else value)


class _Shown(Module):
    def _found(self) -> dict[str, Parameter]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Parameter)}

    def __len__(self) -> int:
        return len(self._found())

    def __repr__(self) -> str:
        lines = [f"  ({name}): {p.dtype} of size {'x'.join(map(str, p.shape))}" for name, p in self._found().items()]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"]) if lines else f"{type(self).__name__}()"


class ParameterList(_Shown):
    """A list of parameters under the names "0", "1", ...; tensors and arrays in it become parameters.

    Parameters
    ----------
    values : iterable of Tensor or array, optional

    Raises
    ------
    RangeError
        For an index outside.

    Examples
    --------
    >>> import neurenix as nx
    >>> weights = nx.nn.ParameterList([nx.zeros(2, 3), nx.zeros(4)])
    >>> [name for name, _ in weights.named_parameters()]
    ['0', '1']
    >>> weights
    ParameterList(
      (0): float32 of size 2x3
      (1): float32 of size 4
    )
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        self.extend(() if values is None else values)

    def _position(self, index: Any) -> int:
        n, i = len(self), operator.index(index)
        if not -n <= i < n:
            raise RangeError(f"ParameterList: expected an index from {-n} to {n - 1}, got {i}; there are {n} parameters")
        return i % n

    def __getitem__(self, index: int) -> Parameter:
        return self._found()[str(self._position(index))]

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(self._position(index)), _parameter(value))

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._found().values())

    def append(self, value: Any) -> Self:
        """Add a parameter at the end and give this container back.

        Examples
        --------
        >>> import neurenix as nx
        >>> weights = nx.nn.ParameterList([nx.zeros(2, 3)]).append([1.0, 2.0])
        >>> [p.shape for p in weights]
        [(2, 3), (2,)]
        """
        setattr(self, str(len(self)), _parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end and give this container back.

        Examples
        --------
        >>> import neurenix as nx
        >>> weights = nx.nn.ParameterList().extend(nx.zeros(n) for n in (2, 3))
        >>> len(weights), weights[1].requires_grad
        (2, True)
        """
        for value in values:
            self.append(value)
        return self

    def constructor_arguments(self) -> Arguments:
        """Tensors of the shapes that it holds now."""
        return ([Tensor(shape=p.shape, dtype=p.dtype) for p in self],), {}


class ParameterDict(_Shown):
    """Parameters by name; tensors and arrays in it become parameters.

    Parameters
    ----------
    parameters : mapping of str to Tensor or array, optional

    Raises
    ------
    ArgumentError
        For a name that an attribute cannot have.

    Examples
    --------
    >>> import neurenix as nx
    >>> scales = nx.nn.ParameterDict({"near": nx.ones(1), "far": nx.zeros(1)})
    >>> "near" in scales, list(scales.keys())
    (True, ['near', 'far'])
    """

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        self.update({} if parameters is None else parameters)

    def __getitem__(self, key: str) -> Parameter:
        return self._found()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str) or not key or key.startswith("_") or "." in key or hasattr(type(self), key):
            raise ArgumentError(
                f"ParameterDict: expected a name without '.', a leading '_' or another meaning, got {key!r}; choose another name"
            )
        setattr(self, key, _parameter(value))

    def __delitem__(self, key: str) -> None:
        delattr(self, key) if key in self._found() else self._found()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found())

    def __contains__(self, key: object) -> bool:
        return key in self._found()

    def keys(self) -> Iterable[str]:
        """Names.

        Examples
        --------
        >>> import neurenix as nx
        >>> list(nx.nn.ParameterDict({"near": nx.ones(1), "far": nx.zeros(1)}).keys())
        ['near', 'far']
        """
        return self._found().keys()

    def values(self) -> Iterable[Parameter]:
        """Parameters.

        Examples
        --------
        >>> import neurenix as nx
        >>> [p.tolist() for p in nx.nn.ParameterDict({"near": nx.ones(1), "far": nx.zeros(1)}).values()]
        [[1.0], [0.0]]
        """
        return self._found().values()

    def items(self) -> Iterable[tuple[str, Parameter]]:
        """Pairs of name and parameter.

        Examples
        --------
        >>> import neurenix as nx
        >>> {name: p.tolist() for name, p in nx.nn.ParameterDict({"near": nx.ones(1), "far": nx.zeros(2)}).items()}
        {'near': [1.0], 'far': [0.0, 0.0]}
        """
        return self._found().items()

    def update(self, parameters: Mapping[str, Any]) -> None:
        """Add or replace parameters.

        Examples
        --------
        >>> import neurenix as nx
        >>> scales = nx.nn.ParameterDict({"near": nx.ones(1)})
        >>> scales.update({"near": nx.zeros(1), "far": nx.ones(1)})
        >>> scales["near"].tolist(), len(scales)
        ([0.0], 2)
        """
        for key, value in parameters.items():
            self[key] = value

    def pop(self, key: str) -> Parameter:
        """Take out a parameter and give it back; a ``KeyError`` if there is none of this name.

        Examples
        --------
        >>> import neurenix as nx
        >>> scales = nx.nn.ParameterDict({"near": nx.ones(1), "far": nx.zeros(1)})
        >>> scales.pop("far").tolist(), list(scales)
        ([0.0], ['near'])
        """
        value = self[key]
        delattr(self, key)
        return value

    def constructor_arguments(self) -> Arguments:
        """Tensors of the shapes that it holds now."""
        return ({name: Tensor(shape=p.shape, dtype=p.dtype) for name, p in self.items()},), {}
