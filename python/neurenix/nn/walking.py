"""Finding what stands among a module's attributes, in their order; lists instead of generators, for it runs on every pass."""

from __future__ import annotations

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
    return list({id(t): (name, t) for name, t in reversed(found)}.values())[::-1] if once else found


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
