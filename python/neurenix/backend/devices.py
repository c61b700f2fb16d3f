"""Names of devices, and the one that new tensors are made on."""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import Any

from neurenix.backend import doors
from neurenix.errors import ArgumentError

_everywhere = "cpu"
_here: ContextVar[tuple[str, ...]] = ContextVar("devices", default=())  # of the blocks that we are in, the innermost last


class device(str):  # noqa: N801 - PyTorch's name
    """The name of a device: a string with a ``type`` and an ``index``, that also is a context.

    ``nx.device("cpu")``, ``nx.device("cuda")``, the current GPU, ``nx.device("cuda:1")`` or ``nx.device("cuda", 1)``; the GPU need not be there.
    In a ``with``, tensors made from Python values, and by ``nx.zeros`` and the like, are on that device, in that block and thread.

    Raises
    ------
    ArgumentError
        If it is no name of a device.

    Examples
    --------
    >>> import neurenix as nx
    >>> d = nx.device("cuda:1")
    >>> d == "cuda:1", d.type, d.index
    (True, 'cuda', 1)
    >>> with nx.device("cpu"):
    ...     nx.zeros(2).device
    'cpu'
    """

    __slots__ = ()

    def __new__(cls, name: str, index: int | None = None) -> device:
        """Check the name."""
        kind, colon, number = name.partition(":") if isinstance(name, str) else ("", "", "")
        known = kind in ("cpu", "cuda") or doors.is_known(kind)
        text = name if index is None else f"{kind}:{index}"
        whole = index is None or (not colon and not isinstance(index, bool) and isinstance(index, int) and index >= 0)
        if not known or not whole or (colon and not number.isdecimal()):
            given = repr(name) if index is None else f"{name!r}, {index!r}"
            raise ArgumentError(f'device: expected "cpu", "cuda" or "cuda:N", got {given}; name a device of this machine')
        return super().__new__(cls, text)

    @property
    def type(self) -> str:
        """The name without the number.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.device("cuda:1").type
        'cuda'
        """
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]  # a number as PyTorch has it, where str has a method
        """The number, or ``None`` for a name without one.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.device("cuda:1").index, nx.device("cpu").index
        (1, None)
        """
        number = self.partition(":")[2]
        return int(number) if number else None

    def __enter__(self) -> device:
        _here.set((*_here.get(), str(self)))
        return self

    def __exit__(self, *_: object) -> None:
        _here.set(_here.get()[:-1])

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return device, (str(self),)


named = functools.cache(device)  # of the names that arrays' devices have


def default_device() -> str:
    """The device of tensors made from Python values."""
    blocks = _here.get()
    return blocks[-1] if blocks else _everywhere


def set_everywhere(name: str) -> None:
    """Set the device of tensors made from Python values, for the whole process."""
    global _everywhere
    _everywhere = str(name)
