"""Modules as JSON: the class and constructor arguments at each path, and what was changed since.

A record is ``{"class", "args", "kwargs"}`` with what its constructor does not give by itself: ``"given"``, records of the
modules among the arguments; ``"children"``, a record for each child, marked ``"replaced"`` where another stands in its place
now, or ``{"given": i}`` for an argument itself; ``"added"`` and ``"removed"`` attributes and then their ``"order"``;
``"normalization"`` of the input; ``"training"`` where it is off. Beside the record of a whole model stand ``"shared"``, the
places at which a module or parameter is found again, and ``"frozen"``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from neurenix import lazy, random
from neurenix.errors import ArgumentError, FileError
from neurenix.nn.module import Module
from neurenix.nn.parameter import Buffer, Parameter, PassingBuffer
from neurenix.normalization import Normalization
from neurenix.ops import state
from neurenix.serialization import values
from neurenix.serialization.values import Packer
from neurenix.tensor import Tensor

Record = dict[str, Any]
_PUBLIC = ("neurenix.nn", "neurenix.multiscale")


def class_name(kind: type) -> str:
    """The name that a file keeps: the public one for the library's own classes."""
    if kind.__module__.startswith("neurenix."):
        for room in _PUBLIC:
            if getattr(sys.modules.get(room), kind.__name__, None) is kind:
                return f"{room}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


class Classes:
    """Finds classes by the names in a file: the library's own, and those that the caller passed."""

    def __init__(self, classes: Iterable[type]) -> None:
        self._own = list(classes)
        wrong = [c for c in self._own if not (isinstance(c, type) and issubclass(c, Module))]
        if wrong:
            raise ArgumentError(f"load: expected classes of modules in classes=, got {wrong[0]!r}; pass e.g. classes=[MyModel]")

    def find(self, name: Any) -> type[Module]:
        """The class of this name.

        Raises
        ------
        FileError
            If neither the library nor the caller has it.
        """
        text = str(name)
        for kind in self._own:
            if f"{kind.__module__}.{kind.__qualname__}" == text:
                return kind
        for kind in self._own:
            if kind.__name__ == text.rpartition(".")[2]:
                return kind
        room, _, last = text.rpartition(".")
        if room.startswith("neurenix."):
            found = getattr(sys.modules.get(room), last, None)
            if isinstance(found, type) and issubclass(found, Module):
                return found
        raise FileError(
            f"load: expected the class {text!r} among classes=, got {[c.__name__ for c in self._own]}; pass classes=[{text.rpartition('.')[2]}]"
        )


def _among(value: Any) -> list[Module]:
    """The modules in constructor arguments, in order."""
    if isinstance(value, Module):
        return [value]
    if isinstance(value, (list, tuple)):
        return [m for v in value for m in _among(v)]
    return [m for v in value.values() for m in _among(v)] if isinstance(value, dict) else []


def _direct(module: Module) -> dict[str, Tensor]:
    """Parameters and buffers of a module's own."""
    return {**dict(module._entries(Parameter)), **dict(module._entries(Buffer))}


class Writer:
    """Makes the record of a model, by comparing it with what its constructors make."""

    def __init__(self, packer: Packer) -> None:
        self._packer = packer
        self._classes: set[type] = set()

    def pack(self, model: Module, place: str) -> Record:
        """Keep a model's values; give its JSON, proved by building the model again without memory.

        Raises
        ------
        ArgumentError
            If it could not be built again.
        """
        name = type(model).__name__
        try:
            with lazy.loading(), random.replay(random.get_rng_state()):
                whole: Record = {"record": self._describe(model, name), "shared": _shared(model)}
                built = _built(whole, Classes(self._classes), self._packer.arrays.__getitem__)
        except FileError as error:
            raise ArgumentError(
                f"save: expected a {name} that can be built again, got {error.__cause__ or error}; define constructor_arguments(), or save model.state_dict()"
            ) from error
        want, got = ({n: t.shape for n, t in m._named_state().items()} for m in (model, built))
        if list(want.items()) != list(got.items()):
            odd = sorted(n for n in want.keys() | got.keys() if want.get(n) != got.get(n)) or ["the order of attributes"]
            raise ArgumentError(
                f"save: expected that the constructor of {name} makes what it holds, got differences at {', '.join(odd)}; "
                "define constructor_arguments(), or save model.state_dict()"
            )
        inside = f"{place}." if place else ""
        own = {n: t for kind in (Parameter, Buffer) for n, t in model._named(kind, "", True, True)}
        whole["names"] = {n: self._packer.keep(inside + n, t.numpy()) for n, t in own.items()}
        whole["frozen"] = [n for n, p in model.named_parameters() if not p.requires_grad]
        return whole

    def _describe(self, module: Module, place: str) -> Record:
        kind = type(module)
        self._classes.add(kind)
        args, kwargs = module.constructor_arguments()
        given = list({id(m): m for m in _among([args, kwargs])}.values())
        numbers = {id(m): i for i, m in enumerate(given)}
        pack = Packer(lambda m, _: numbers[id(m)])
        pack.arrays = self._packer.arrays
        record: Record = {"class": class_name(kind)}
        for name, value in (("args", list(args)), ("kwargs", dict(kwargs))):
            if value:
                record[name] = pack.pack(value, f"{place}({name})")
        if given:
            record["given"] = [self._describe(m, f"{place}.{i}") for i, m in enumerate(given)]
        fresh, made = _construct(record, Classes(self._classes), self._packer.arrays.__getitem__)
        pairs = {id(m): (i, f) for i, (m, f) in enumerate(zip(given, made, strict=True))}
        self._compare(record, module, fresh, place, pairs, {id(module)})
        return record

    def _compare(self, record: Record, module: Module, fresh: Module, place: str, given: dict[int, Any], seen: set[int]) -> None:
        """Complete a record with how ``module`` differs from ``fresh``."""
        if not module.training:
            record["training"] = False
        if module.input_normalization is not None:
            record["normalization"] = module.input_normalization.arguments()
        own, other = _direct(module), _direct(fresh)
        added = {n: t for n, t in own.items() if n not in other or other[n].shape != t.shape or type(other[n]) is not type(t)}
        children, before = dict(module._entries(Module)), dict(fresh._entries(Module))
        gone = [n for n in other if n not in own] + [n for n in before if n not in children]
        if added:
            record["added"] = {n: [type(t).__name__, list(t.shape), t.dtype.name] for n, t in added.items()}
        if list(own) != list(other) or list(children) != list(before):
            record["order"] = [n for n in vars(module) if not n.startswith("_")]
        if gone:
            record["removed"] = {n: n in vars(module) for n in gone}
        if children:
            record["children"] = {n: self._child(c, before.get(n), f"{place}.{n}", given, seen) for n, c in children.items()}

    def _child(self, child: Module, fresh: Module | None, place: str, given: dict[int, Any], seen: set[int]) -> Record:
        if id(child) in given and given[id(child)][1] is fresh:
            return {"given": given[id(child)][0]}
        if fresh is None or type(fresh) is not type(child) or _arguments(fresh) != _arguments(child):
            return {**self._describe(child, place), "replaced": True}
        record: Record = {"class": class_name(type(child))}
        if id(child) not in seen:
            seen.add(id(child))
            self._compare(record, child, fresh, place, given, seen)
        return record


def _arguments(module: Module) -> Any:
    """Constructor arguments to compare; modules in them are compared where they stand."""
    silent = Packer(lambda _, __: None)
    packed = silent.pack(list(module.constructor_arguments()), "arguments")
    return packed, [(a.shape, a.tobytes()) for a in silent.arrays.values()]


def _shared(model: Module) -> list[list[str]]:
    """[place, name there, full name of where it first stands] of every module and parameter that is found again."""
    found: list[list[str]] = []
    first: dict[int, str] = {}
    for place, module in model.named_modules():
        first.setdefault(id(module), place)
        for name, entry in [*module._entries(Module), *_direct(module).items()]:
            full = f"{place}.{name}" if place else name
            if first.setdefault(id(entry), full) != full:
                found.append([place, name, first[id(entry)]])
    return found


def unpack(whole: Any, classes: Classes, arrays: Callable[[str], Any], shapes: Mapping[str, tuple[tuple[int, ...], str]]) -> Module:
    """Build a model from its JSON and fill it.

    Parameters
    ----------
    whole : JSON value
        What :meth:`Writer.pack` gave.
    classes : Classes
        Where to find the classes.
    arrays : callable
        Reads an array by its name; called only after all shapes were compared.
    shapes : mapping
        Shape and kind of element of every array in the file.

    Raises
    ------
    FileError
        If the JSON is not one of a model, or the model and the arrays do not fit each other.
    """
    if not isinstance(whole, dict) or not isinstance(whole.get("names"), dict) or not isinstance(whole.get("frozen"), list):
        raise FileError(f"load: expected the JSON of a model, got {str(whole)[:80]}; the file is damaged")
    with lazy.loading(), random.replay(random.get_rng_state()):
        model = _built(whole, classes, arrays)
    own = {n: t for kind in (Parameter, Buffer) for n, t in model._named(kind, "", True, True)}
    names = {n: str(key) for n, key in whole["names"].items()}
    want = {n: (t.shape, t.dtype.kind) for n, t in own.items()}
    got = {n: shapes.get(key) for n, key in names.items()}
    if want != got:
        places = [n for n in {**want, **got} if n not in want or want[n] != got.get(n)]
        odd = [f"{n} is {got.get(n) or 'not there'} in the file and {want.get(n, 'not there')} in the model" for n in places]
        raise FileError(
            f"load: expected the arrays of {type(model).__name__}, got differences: {'; '.join(odd)[:2000]}; the file is damaged, or another version's"
        )
    for n, t in own.items():
        state.replace(t, arrays(names[n]))
        t.requires_grad = isinstance(t, Parameter) and n not in whole["frozen"]
    return model


def _built(whole: Record, classes: Classes, arrays: Callable[[str], Any]) -> Module:
    model = _build(whole.get("record"), classes, arrays)
    try:
        for place, name, first in whole.get("shared", []):
            _put(model.get_submodule(place), name, _found(model, first))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FileError(f"load: expected shared modules that are there, got {error!r}; the file is damaged") from error
    return model


def _found(model: Module, name: str) -> Any:
    entries = {**dict(model.named_modules(remove_duplicate=False)), **model._named_state()}
    return entries[name]


def _build(record: Any, classes: Classes, arrays: Callable[[str], Any]) -> Module:
    module, _ = _construct(record, classes, arrays)
    _change(module, record, classes, arrays)
    return module


def _construct(record: Any, classes: Classes, arrays: Callable[[str], Any]) -> tuple[Module, list[Module]]:
    """What the constructor makes of the arguments, and the modules among these."""
    if not isinstance(record, dict) or not isinstance(record.get("given", []), list):
        raise FileError(f"load: expected the record of a module, got {str(record)[:80]}; the file is damaged")
    given = [_build(r, classes, arrays) for r in record.get("given", [])]
    kind = classes.find(record.get("class"))
    args, kwargs = (
        values.unpack(record.get(n, empty), arrays, given.__getitem__, classes.find)
        for n, empty in (("args", []), ("kwargs", {"dict": []}))
    )
    try:
        return kind(*args, **kwargs), given
    except Exception as error:  # a constructor, perhaps the user's, may fail in any way at what a file says
        text = f"{kind.__name__}({', '.join([*map(repr, args), *(f'{k}={v!r}' for k, v in dict(kwargs).items())])[:200]})"
        raise FileError(
            f"load: expected arguments that {kind.__name__} takes, got {text} ({error}); the file is damaged, or another version's"
        ) from error


def _change(module: Module, record: Record, classes: Classes, arrays: Callable[[str], Any]) -> None:
    """Apply what a record says was changed after construction."""
    try:
        for name, stays in record.get("removed", {}).items():
            _put(module, name, None) if stays else delattr(module, name)
        for name, (kind, shape, dtype) in record.get("added", {}).items():
            zeros = Tensor(shape=shape, dtype=dtype)
            passing = kind == PassingBuffer.__name__
            _put(module, name, Buffer(zeros, not passing) if passing or kind == "Buffer" else Parameter(zeros, zeros.is_floating_point()))
        children = dict(module._entries(Module))
        for name, inner in record.get("children", {}).items():
            if inner.get("replaced"):
                _put(module, name, _build(inner, classes, arrays))
            elif "given" not in inner:
                _change(children[name], inner, classes, arrays)
        module.training = bool(record.get("training", True))
        if "normalization" in record:
            module.input_normalization = Normalization(*record["normalization"])
        attributes = vars(module)
        attributes.update({n: attributes.pop(n) for n in record.get("order", []) if n in attributes})
    except FileError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise FileError(f"load: expected changes that {type(module).__name__} can take, got {error!r}; the file is damaged") from error


def _put(module: Module, name: str, value: Any) -> None:
    """Set the attribute of this name, which may lead on into lists and dicts."""
    first, *rest = name.split(".")
    if not rest:
        setattr(module, first, value)
        return
    holder: Any = getattr(module, first)
    for key in rest[:-1]:
        holder = holder[int(key) if isinstance(holder, (list, tuple)) else key]
    if isinstance(holder, list) and int(rest[-1]) == len(holder):
        holder.append(value)
    else:
        holder[int(rest[-1]) if isinstance(holder, list) else rest[-1]] = value
