"""Modules that hold modules by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from neurenix.errors import ArgumentError, DTypeError
from neurenix.nn.module import Arguments, Module


class ModuleDict(Module):
    """Modules by name; its forward is yours to write.

    Parameters
    ----------
    modules : mapping of str to Module, or pairs, optional
        What it holds.

    Raises
    ------
    ArgumentError
        For a name that an attribute cannot have.
    DTypeError
        If something in it is no module.
    KeyError
        If there is no module of a name.

    Examples
    --------
    >>> import neurenix as nx
    >>> heads = nx.nn.ModuleDict({"mask": nx.nn.Conv2d(8, 1, 1), "edge": nx.nn.Conv2d(8, 1, 1)})
    >>> features = nx.ones(1, 8, 4, 4)
    >>> {name: head(features).shape for name, head in heads.items()}
    {'mask': (1, 1, 4, 4), 'edge': (1, 1, 4, 4)}
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        self.update({} if modules is None else modules)

    def extra_repr(self) -> str:
        """Nothing: the modules say it."""
        return ""

    def _dict(self) -> dict[str, Module]:
        return {k: v for k, v in vars(self).items() if isinstance(v, Module) and not k.startswith("_")}

    def __getitem__(self, key: str) -> Module:
        return self._dict()[key]

    def __setitem__(self, key: str, module: Module) -> None:
        if not isinstance(module, Module):
            raise DTypeError(f"ModuleDict: expected modules, got {type(module).__name__}; pass e.g. nn.ReLU()")
        setattr(self, checked_name(self, key), module)

    def __delitem__(self, key: str) -> None:
        delattr(self, key) if key in self._dict() else self._dict()[key]

    def __len__(self) -> int:
        return len(self._dict())

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict())

    def __contains__(self, key: object) -> bool:
        return key in self._dict()

    def keys(self) -> Iterable[str]:
        """Names.

        Examples
        --------
        >>> import neurenix as nx
        >>> list(nx.nn.ModuleDict({"relu": nx.nn.ReLU(), "tanh": nx.nn.Tanh()}).keys())
        ['relu', 'tanh']
        """
        return self._dict().keys()

    def values(self) -> Iterable[Module]:
        """Modules.

        Examples
        --------
        >>> import neurenix as nx
        >>> list(nx.nn.ModuleDict({"relu": nx.nn.ReLU(), "tanh": nx.nn.Tanh()}).values())
        [ReLU(), Tanh()]
        """
        return self._dict().values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Pairs of name and module.

        Examples
        --------
        >>> import neurenix as nx
        >>> dict(nx.nn.ModuleDict({"relu": nx.nn.ReLU(), "tanh": nx.nn.Tanh()}).items())
        {'relu': ReLU(), 'tanh': Tanh()}
        """
        return self._dict().items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules, of a mapping or of pairs.

        Raises
        ------
        DTypeError
            If it is neither a mapping nor pairs, or a value is no module. Nothing is added unless all are pairs.

        Examples
        --------
        >>> import neurenix as nx
        >>> acts = nx.nn.ModuleDict({"act": nx.nn.ReLU()})
        >>> acts.update([("act", nx.nn.Tanh()), ("last", nx.nn.Sigmoid())])
        >>> acts["act"], len(acts)
        (Tanh(), 2)
        """
        pairs = list(modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules)
        for pair in pairs:
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise DTypeError(
                    f"ModuleDict: expected a mapping, or pairs of name and module, got {pair!r}; pass e.g. {{'act': nn.ReLU()}}"
                )
        for key, module in pairs:
            self[key] = module

    def clear(self) -> None:
        """Take out all modules.

        Examples
        --------
        >>> import neurenix as nx
        >>> acts = nx.nn.ModuleDict({"act": nx.nn.ReLU()})
        >>> acts.clear()
        >>> len(acts)
        0
        """
        for key in self._dict():
            delattr(self, key)

    def pop(self, key: str) -> Module:
        """Take out a module and give it back; a ``KeyError`` if there is none of this name.

        Examples
        --------
        >>> import neurenix as nx
        >>> acts = nx.nn.ModuleDict({"relu": nx.nn.ReLU(), "tanh": nx.nn.Tanh()})
        >>> acts.pop("relu"), "relu" in acts
        (ReLU(), False)
        """
        module = self[key]
        delattr(self, key)
        return module

    def constructor_arguments(self) -> Arguments:
        """The modules as they are now."""
        if type(self).__init__ is not ModuleDict.__init__:
            return self._arguments
        return (self._dict(),), {}


def checked_name(module: Module, name: Any) -> str:
    """A name that an attribute of the module can have."""
    if not isinstance(name, str) or not name or name.startswith("_") or "." in name or hasattr(type(module), name):
        raise ArgumentError(
            f"{type(module).__name__}: expected a name without '.', a leading '_' or another meaning, got {name!r}; choose another name"
        )
    return name
