"""The command line ``neurenix``: train, predict, eval, export, info and doctor for people who have folders of images."""

from __future__ import annotations

import argparse
import errno
import json
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

from neurenix.command import config, evaluate, export, info, plan, predict, train
from neurenix.command.sayings import said
from neurenix.command.together import set_threads
from neurenix.errors import BusyError, NeurenixError
from neurenix.parallel.ranks import Ranks, end, speaks

AGAIN: Final = 75  # sysexits.h's EX_TEMPFAIL: stopped before its end
FULL: Final = (errno.ENOSPC, errno.EDQUOT)  # a disk: once there is room the same command goes on
COMMANDS: Final[dict[str, Any]] = {
    "train": train,
    "predict": predict,
    "plan": plan,
    "eval": evaluate,
    "export": export,
    "info": info.MODEL,
    "doctor": info.MACHINE,
}
EPILOG = (
    """exit status: 0 done, 1 an error, 2 a wrong command line, 75 stopped before the end (run again, with --resume where it says so)"""
)


def parser() -> argparse.ArgumentParser:
    """The command line's grammar, its help with an example for each command."""
    from neurenix import __version__

    top = argparse.ArgumentParser(prog="neurenix", description=__doc__, epilog=EPILOG)
    top.add_argument("--version", action="version", version=f"neurenix {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.HELP,
            description=command.HELP,
            epilog=f"example: {command.EXAMPLE}\n\n{EPILOG}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        sub.add_argument("--json", action="store_true", help="print the result as one line of JSON")
        sub.add_argument(
            "--threads",
            type=int,
            metavar="N",
            help="processor threads; by default all that this process may use, or its part of them beside other ranks",
        )
        sub.set_defaults(run=command.run, grammar=sub, how_to_go_on=getattr(command, "how_to_go_on", _again))
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    top = parser()
    given = top.parse_args(argv)
    before, warnings.formatwarning = warnings.formatwarning, _warned
    try:
        given = config.complete(given, top, argv)
        return _run(given.run, given)
    except NeurenixError as error:
        return end(f"neurenix {given.command}: {said(error)}", AGAIN if isinstance(error, BusyError) else 1)
    except KeyboardInterrupt:
        return end(f"neurenix {given.command}: interrupted; {given.how_to_go_on(given)}", AGAIN)
    except FileExistsError as error:
        return end(f"neurenix {given.command}: expected a folder, got the file {error.filename}; pass another --out", 1)
    except OSError as error:
        return end(f"neurenix {given.command}: {error.strerror or error}: {error.filename or ''}", AGAIN if error.errno in FULL else 1)
    finally:
        warnings.formatwarning = before


def _warned(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:  # noqa: ARG001
    """A warning as people read it who never look into the code where it arose."""
    return f"warning: {message}\n"


def _again(_: argparse.Namespace) -> str:
    """What to do after a command that was interrupted."""
    return "run the same command again"


def _run(run: Callable[[argparse.Namespace], tuple[int, dict[str, Any]]], given: argparse.Namespace) -> int:
    set_threads(given.threads, Ranks())
    status, result = run(given)
    if given.json and speaks():
        print(json.dumps(result))
    return status
