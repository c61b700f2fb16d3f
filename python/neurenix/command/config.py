"""Settings of a command from a TOML file: what a run's ``config.toml`` holds, under what the command line says."""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from neurenix.errors import ArgumentError, FileError

_NOT_SETTINGS: Final = frozenset(
    {"help", "run", "command", "grammar", "how_to_go_on", "needs", "config", "json", "resume", "dry_run", "threads"}
)
_ECHOED: Final = ("task", "made_by")  # what a run wrote about itself beside its settings


def settings(given: argparse.Namespace) -> dict[str, Any]:
    """What decides a command's work, of all that its command line says."""
    return {name: value for name, value in vars(given).items() if name not in _NOT_SETTINGS}


def read(path: Path, command: str, grammar: argparse.ArgumentParser) -> dict[str, Any]:
    """The settings in a file, to be the defaults of a command line.

    Raises
    ------
    FileError
        If the file is not there or is not TOML.
    ArgumentError
        If it has a name that the command does not know, or a value of another type.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FileError(f"{command}: expected settings as TOML in {path}, got a file that cannot be read ({error}); check it") from None
    unknown = [name for name in tables if name not in (command, *_ECHOED)]
    if unknown or not isinstance(tables.get(command), dict):
        raise ArgumentError(
            f"{command}: expected a table [{command}] in {path}, got {', '.join(unknown) or 'none'}; begin the settings with a line [{command}]"
        )
    actions = {a.dest: a for a in grammar._actions if a.dest not in _NOT_SETTINGS}
    found = {name: _value(name, value, actions, path, command) for name, value in tables[command].items()}
    for group in _rivals(grammar):
        if len(both := sorted(group & set(found))) > 1:
            raise ArgumentError(f"{command}: expected one of {' and '.join(both)} in {path}, got both; leave one out")
    return found


def _rivals(grammar: argparse.ArgumentParser) -> list[set[str]]:
    """Names of which a command line has one at most."""
    return [{action.dest for action in group._group_actions} for group in grammar._mutually_exclusive_groups]


def _value(name: str, value: Any, actions: dict[str, argparse.Action], path: Path, command: str) -> Any:
    """A setting, as the command line would give it."""
    if name not in actions:
        near = difflib.get_close_matches(name, actions, 1, 0.0)
        raise ArgumentError(f"{command}: expected settings that it knows in {path}, got {name!r}; the nearest name is {near[0]!r}")
    action = actions[name]
    kind: Any = bool if action.nargs == 0 else action.type or str
    several = isinstance(action.nargs, (int, str)) and action.nargs != "?" and action.nargs != 0
    parts = value if several and isinstance(value, list) and value else [value]
    fits = all(_is(kind, part) for part in parts) and (several == isinstance(value, list))
    if not fits:
        raise ArgumentError(f"{command}: expected {_named(kind, several)} for {name!r} in {path}, got {value!r}; write it so")
    if action.choices is not None and value not in action.choices:
        raise ArgumentError(f"{command}: expected one of {', '.join(map(str, action.choices))} for {name!r} in {path}, got {value!r}")
    made = [kind(part) for part in parts]
    return made if several else made[0]


def _is(kind: Any, value: Any) -> bool:
    if kind in (int, float):
        return isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
    return isinstance(value, bool if kind is bool else str)


def _named(kind: Any, several: bool) -> str:
    one = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a text")
    return f"a list, each {one}," if several else one


def complete(given: argparse.Namespace, top: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line again, over the settings of its ``--config`` file.

    Raises
    ------
    FileError, ArgumentError
        If the file has something else than settings.
    SystemExit
        With status 2, if what the command needs is neither here nor there.
    """
    if getattr(given, "config", None) is not None:
        found = read(given.config, given.command, given.grammar)
        for group in _rivals(given.grammar):
            if any(getattr(given, name) is not None for name in group):
                found = {name: value for name, value in found.items() if name not in group}
        given.grammar.set_defaults(**found)
        given = top.parse_args(argv)
    missing = [name for name in getattr(given, "needs", ()) if getattr(given, name.strip("-")) is None]
    if missing:
        given.grammar.error(f"the following arguments are required: {', '.join(missing)}")
    return given
