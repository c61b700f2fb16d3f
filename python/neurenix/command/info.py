"""``neurenix info``, what a model is, and ``neurenix doctor``, whether this machine is ready."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import neurenix as nx
from neurenix.command.predict import load_model
from neurenix.errors import WindowError
from neurenix.multiscale import receptive_field
from neurenix.system import diagnose


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="file that train wrote, or a saved model")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(256, 256), metavar=("H", "W"), help="of the image that the table is for (256 256)"
    )


def _tell_model(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    model, task = load_model(given.model)
    channels = int(getattr(model, "in_channels", 1))
    table = nx.nn.summary(model, (1, channels, *given.size), depth=1)
    try:
        field = receptive_field(model, channels)
        reach = f"{field.before} pixels before, {field.behind} behind"
    except WindowError:
        field, reach = None, "the whole image"
    result = {"model": type(model).__name__, "task": task.kind, "classes": task.classes, "in_channels": channels}
    result |= {"parameters": table.parameters, "multiply_adds": table.multiply_adds, "receptive_field": reach}
    if not given.json:
        print(
            f"{given.model}: {result['model']} for masks that are {task.kind}, {task.classes} classes"
            if task.kind == "classes"
            else f"{given.model}: {result['model']} for masks that are {task.kind}"
        )
        print(f"input normalisation: {getattr(model, 'input_normalization', None)}\nan output depends on: {reach}\n\n{table}")
        config = given.model.parent / "config.toml"
        print(f"\n{config}:\n{config.read_text(encoding='utf-8')}" if config.exists() else "")
    return 0, result


def _add_nothing(_: argparse.ArgumentParser) -> None:
    pass


def _tell_machine(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    found = diagnose()
    if not given.json:
        print(found)
    return (0 if found.ok else 1), {"ok": found.ok, "findings": [f._asdict() for f in found]}


MODEL = SimpleNamespace(
    HELP="say what a model is: layers, sizes, what its outputs depend on, how it was made",
    EXAMPLE="neurenix info run/best.nx",
    add_arguments=_add_model,
    run=_tell_model,
)
MACHINE = SimpleNamespace(
    HELP="say whether this machine is ready, and what to do if not",
    EXAMPLE="neurenix doctor",
    add_arguments=_add_nothing,
    run=_tell_machine,
)
