"""Packages that the library can do without: imported when they are needed, with an error that says how to get them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any, Final

from neurenix.errors import BackendUnavailableError

_PROJECTS: Final = {"PIL": "pillow"}  # where a package has another name than what is imported


def has(name: str) -> bool:
    """Whether a package is installed; it is not imported."""
    try:
        return sys.modules[name] is not None if name in sys.modules else importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def load(name: str, purpose: str, extra: str) -> Any:
    """A module of a package that may be missing.

    Parameters
    ----------
    name : str
        Of the module.
    purpose : str
        What it is needed for.
    extra : str
        The library's extra that installs it.

    Raises
    ------
    BackendUnavailableError
        If it is not installed.

    Examples
    --------
    >>> from neurenix.optional import load
    >>> load("json", "settings", "demo").dumps([1])
    '[1]'
    """
    package = name.partition(".")[0]
    try:
        importlib.import_module(package)
        return importlib.import_module(name)
    except ImportError:
        raise BackendUnavailableError(
            f"{_PROJECTS.get(package, package)}: expected the package for {purpose}, got no such package; install it with: pip install 'neurenix-multiscale[{extra}]'"
        ) from None
