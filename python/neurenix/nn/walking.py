"""Finding what stands among a module's attributes, in their order; lists instead of generators, for it runs on every pass."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from operator import is_
from typing import Any, TypeAlias

from neurenix.nn.parameter import Buffer, Parameter

Found: TypeAlias = list[tuple[str, Any]]
_PLAIN = frozenset({int, float, str, bool, bytes, type(None)})


def entries(module: Any, kind: Any) -> Found:
    """Attributes of a kind with their names, also those inside lists, tuples and dicts; a name with a leading ``_`` is none."""
    found: Found = []
    for name, value in vars(module).items():
        if type(value) in _PLAIN or name.startswith("_"):
            continue
        if isinstance(value, kind):
            found.append((name, value))
        elif isinstance(value, (list, tuple, dict)):
            _inside(found, kind, name, value)
    return found


def _inside(found: Found, kind: Any, name: str, values: Any) -> None:
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        if type(value) in _PLAIN:
            continue
        if isinstance(value, kind):
            found.append((f"{name}.{key}", value))
        elif isinstance(value, (list, tuple, dict)):
            _inside(found, kind, f"{name}.{key}", value)


def modules(module: Any, base: Any, once: bool, path: str = "") -> Found:
    """Itself and all below, depth first; a module that stands at two places once, or unless ``once`` at each."""
    found: Found = []
    _modules(found, module, base, once, path, set())
    return found


def _modules(found: Found, module: Any, base: Any, once: bool, path: str, seen: set[int]) -> None:
    if id(module) in seen:
        return
    seen.add(id(module))
    found.append((path, module))
    for name, child in entries(module, base):
        _modules(found, child, base, once, f"{path}.{name}" if path else name, seen)
    if not once:  # only a cycle is left out then
        seen.discard(id(module))


def tensors(module: Any, base: Any, once: bool, path: str = "", recurse: bool = True, kind: Any = (Parameter, Buffer)) -> Found:
    """Parameters and buffers, or one of these kinds, in PyTorch's order; ``once`` as in :func:`modules`.

    A module's own parameters come first, then its buffers, then what is below, each in the order of the attributes.
    """
    found: Found = []
    kinds = kind if isinstance(kind, tuple) else (kind,)
    _tensors(found, module, (*kinds, base), base, path, recurse, once, set())
    first: dict[int, tuple[str, Any]] = {}
    for name, t in found if once else ():
        first.setdefault(id(t), (name, t))
    return list(first.values()) if once else found


def _tensors(found: Found, module: Any, kinds: Any, base: Any, path: str, recurse: bool, once: bool, seen: set[int]) -> None:
    if id(module) in seen:
        return
    seen.add(id(module))
    buffers: Found = []
    below: Found = []
    for name, entry in entries(module, kinds):
        place = below if isinstance(entry, base) else buffers if isinstance(entry, Buffer) else found
        place.append((f"{path}.{name}" if path else name, entry))
    found += buffers
    for full, child in below if recurse else ():
        _tensors(found, child, kinds, base, full, recurse, once, seen)
    if not once:
        seen.discard(id(module))


class Kept:
    """Parameters and buffers of a module and all below, found anew only where something stands at another place than before.

    Every attribute, and every element of a list or dict among them, is compared by identity: that needs neither names nor types.
    """

    def __init__(self) -> None:
        self._own: list[Any] = []
        self._places: list[Collection[Any]] = []  # what stands below now
        self._held: list[list[Any]] = []  # and what did when it was found
        self._tensors: list[Any] = []

    def tensors(self, module: Any, base: Any) -> list[Any]:
        """They, as :func:`tensors` finds them at every place."""
        own = _public(module)  # not the attribute that holds this
        if not (_are(own, self._own) and all(map(_are, self._places, self._held))):
            below = [m for _, m in modules(module, base, True)[1:]]
            places = [vars(m).values() for m in below] + _places(own + [value for m in below for value in _public(m)])
            self._own, self._places, self._held = own, places, list(map(list, places))
            self._tensors = list(dict(tensors(module, base, False)).values())
        return self._tensors


def _are(now: Collection[Any], before: list[Any]) -> bool:
    return len(now) == len(before) and all(map(is_, now, before))


def _public(module: Any) -> list[Any]:
    return [value for name, value in vars(module).items() if not name.startswith("_")]


def _places(values: Iterable[Any]) -> list[Collection[Any]]:
    """Lists, and values of dicts, among what lists, tuples and dicts hold."""
    found: list[Collection[Any]] = []
    for value in values:
        if isinstance(value, (list, tuple, dict)):
            held = value.values() if isinstance(value, dict) else value
            found += ([] if isinstance(value, tuple) else [held]) + _places(held)
    return found
