"""Modules that hold modules: in a row, in a list, by name."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from neurenix.checkpoint import is_checkpointing, segment
from neurenix.errors import DTypeError, RangeError
from neurenix.nn import _chains
from neurenix.nn.module import Arguments, Module
from neurenix.nn.module_dict import checked_name


class _Numbered(Module):
    """Modules under the names "0", "1", ...: the names that PyTorch's state dicts have."""

    def extra_repr(self) -> str:
        """Nothing: the modules say it."""
        return ""

    def _list(self) -> list[Module]:
        return [v for k, v in vars(self).items() if k.isdecimal()]

    def _set(self, modules: Iterable[Module]) -> None:
        new = [self._checked(m) for m in modules]
        for name in [k for k in vars(self) if k.isdecimal()]:
            delattr(self, name)
        for i, module in enumerate(new):
            setattr(self, str(i), module)

    def _checked(self, module: Any) -> Module:
        if not isinstance(module, Module):
            raise DTypeError(f"{type(self).__name__}: expected modules, got {type(module).__name__}; pass e.g. nn.ReLU()")
        return module

    def _position(self, index: Any, n: int) -> int:
        i = operator.index(index)
        if not -n <= i < n:
            raise RangeError(f"{type(self).__name__}: expected an index from {-n} to {n - 1}, got {i}; there are {n} modules")
        return i % n

    def __len__(self) -> int:
        return len(self._list())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._list())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        modules = self._list()
        return self._like(modules[index]) if isinstance(index, slice) else modules[self._position(index, len(modules))]

    def _like(self, modules: Iterable[Module] | Mapping[str, Module]) -> Self:
        part = type(self).__new__(type(self))
        part.training = self.training
        if isinstance(modules, Mapping):
            vars(part).update(modules)
        else:
            part._set(modules)
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, str(self._position(index, len(self))), self._checked(module))

    def __delitem__(self, index: int | slice) -> None:
        modules = self._list()
        del modules[index if isinstance(index, slice) else self._position(index, len(self))]
        self._set(modules)

    def append(self, module: Module) -> Self:
        """Add a module at the end and give this container back.

        Raises
        ------
        DTypeError
            If it is no module.

        Examples
        --------
        >>> import neurenix as nx
        >>> layers = nx.nn.Sequential(nx.nn.Linear(2, 3)).append(nx.nn.ReLU())
        >>> layers
        Sequential(
          (0): Linear(in_features=2, out_features=3, bias=True)
          (1): ReLU()
        )
        """
        setattr(self, str(len(self)), self._checked(module))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end and give this container back.

        Examples
        --------
        >>> import neurenix as nx
        >>> widths = [2, 8, 8]
        >>> layers = nx.nn.Sequential().extend(nx.nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        >>> layers(nx.ones(1, 2)).shape
        (1, 8)
        """
        for module in [self._checked(m) for m in modules]:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before the one at ``index`` and give this container back.

        Examples
        --------
        >>> import neurenix as nx
        >>> layers = nx.nn.Sequential(nx.nn.Linear(2, 3), nx.nn.Linear(3, 1)).insert(1, nx.nn.ReLU())
        >>> [type(layer).__name__ for layer in layers]
        ['Linear', 'ReLU', 'Linear']
        """
        modules = self._list()
        modules.insert(index, module)
        self._set(modules)
        return self

    def pop(self, index: int = -1) -> Module:
        """Take out the module at ``index`` and give it back.

        Raises
        ------
        RangeError
            If there is no such module.

        Examples
        --------
        >>> import neurenix as nx
        >>> layers = nx.nn.Sequential(nx.nn.Linear(2, 3), nx.nn.ReLU())
        >>> layers.pop(), len(layers)
        (ReLU(), 1)
        """
        module = self._list()[self._position(index, len(self))]
        del self[index]
        return module

    def __add__(self, other: Iterable[Module]) -> Self:
        return self._like([*self._list(), *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)


class Sequential(_Numbered):
    """Modules one after the other, each given what the one before returned.

    Parameters
    ----------
    *modules : Module, or one dict of str to Module
        In a dict the keys are the names; otherwise they are "0", "1", ...

    Raises
    ------
    DTypeError
        If something in it is no module.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.nn.Sequential(nx.nn.Conv2d(3, 8, 3, padding=1), nx.nn.ReLU(), nx.nn.Conv2d(8, 2, 1))
    >>> model(nx.ones(1, 3, 16, 16)).shape, model[:2](nx.ones(1, 3, 16, 16)).shape
    ((1, 2, 16, 16), (1, 8, 16, 16))
    >>> nx.nn.Sequential({"conv": nx.nn.Conv2d(3, 8, 3), "act": nx.nn.ReLU()}).act
    ReLU()
    """

    _makes_segments = True
    _runs_in_turn = True  # to be said by each type for itself

    def __init__(self, *modules: Any) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                setattr(self, checked_name(self, name), self._checked(module))
        else:
            self._set(modules)

    def _named_list(self) -> dict[str, Module]:
        return {k: v for k, v in vars(self).items() if isinstance(v, Module) and not k.startswith("_")}

    def _list(self) -> list[Module]:
        return list(self._named_list().values())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        """A module, or some of them under the names that they have here."""
        return self._like(dict(list(self._named_list().items())[index])) if isinstance(index, slice) else super().__getitem__(index)

    def __mul__(self, times: int) -> Self:
        return self._like(self._list() * operator.index(times))

    __rmul__ = __mul__

    def _set(self, modules: Iterable[Module]) -> None:
        new = [self._checked(m) for m in modules]
        for name in self._named_list():
            delattr(self, name)
        for i, module in enumerate(new):
            setattr(self, str(i), module)

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, list(self._named_list())[self._position(index, len(self))], self._checked(module))

    def constructor_arguments(self) -> Arguments:
        """The modules as they are now."""
        if type(self).__init__ is not Sequential.__init__:
            return self._arguments
        named = self._named_list()
        plain = list(named) == [str(i) for i in range(len(named))]
        return (tuple(named.values()) if plain else (named,)), {}

    def forward(self, input: Any) -> Any:
        """Give ``input`` to the first module, its result to the next, and return the last one's."""
        if is_checkpointing() and not any(child._has_segments() for child in self.children()):
            return segment(self._run, input)
        return self._run(input)

    def _only_runs_in_turn(self) -> bool:
        """Whether calling it is calling its modules, and nothing else happens: not so for types derived from it."""
        return "_runs_in_turn" in vars(type(self)) and _chains.is_plain(self, (type(self),))

    def _run(self, x: Any) -> Any:
        return _chains.run(_flat(self._list()), x)


def _flat(modules: Iterable[Module]) -> list[Module]:
    """Modules, and in the place of plain containers those inside them, unless these are checkpointed as parts of their own."""
    found: list[Module] = []
    for module in modules:
        if isinstance(module, Sequential) and module._only_runs_in_turn() and not is_checkpointing():
            found += _flat(module._list())
        else:
            found.append(module)
    return found


def run_in_turn(modules: Iterable[Module], x: Any, beside: Any = None) -> Any:
    """Give ``x`` to the first module, its result to the next, as a :class:`Sequential` of them does.

    The channels of ``beside``, where it is given, follow those of ``x``: the two are not copied together where they need not be.
    """
    return _chains.run(_flat(modules), x, beside)


def run_and_halve(modules: Iterable[Module], x: Any, beside: Any = None) -> tuple[Any, Any]:
    """What :func:`run_in_turn` gives, and 2x2 maxima of it, odd sizes rounded up: where gradients are recorded, in one pass."""
    return _chains.run_and_halve(_flat(modules), x, beside)


def reads_halves(modules: Iterable[Module], x: Any) -> bool:
    """Whether :func:`run_in_turn` reads ``x`` and a map like it beside it as they lie, and nothing is recorded."""
    return _chains.reads_halves(_flat(modules), x)


class ModuleList(_Numbered):
    """A list of modules; its forward is yours to write.

    Parameters
    ----------
    modules : iterable of Module, optional
        What it holds.

    Raises
    ------
    DTypeError
        If something in it is no module.
    RangeError
        For an index outside.

    Examples
    --------
    >>> import neurenix as nx
    >>> class Branches(nx.nn.Module):
    ...     def __init__(self):
    ...         self.branches = nx.nn.ModuleList(nx.nn.Conv2d(3, 4, k, padding="same") for k in (1, 3, 5))
    ...     def forward(self, x):
    ...         return nx.cat([branch(x) for branch in self.branches], 1)
    >>> Branches()(nx.ones(1, 3, 8, 8)).shape
    (1, 12, 8, 8)
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self._set(() if modules is None else modules)

    def constructor_arguments(self) -> Arguments:
        """The modules as they are now."""
        if type(self).__init__ is not ModuleList.__init__:
            return self._arguments
        return (self._list(),), {}

    def _lines(self) -> list[str]:
        """A line or more for each run of modules that print alike."""
        texts = [repr(m).replace("\n", "\n  ") for m in self._list()]
        runs = [(text, list(run)) for text, run in itertools.groupby(range(len(texts)), texts.__getitem__)]
        return [f"({run[0]}): {text}" if len(run) == 1 else f"({run[0]}-{run[-1]}): {len(run)} x {text}" for text, run in runs]
