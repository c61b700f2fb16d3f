"""Where random numbers come from: a seed and the number of the next draw, of the process or of a generator of one's own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from neurenix._typing import DeviceLike
from neurenix.backend.devices import device as device_name
from neurenix.errors import ArgumentError, DTypeError, GraphError

_SEEDS = 1 << 64
_FIRST = 67280421310721  # the seed of a new generator, PyTorch's


class Generator:
    """Random numbers of one's own: a seed and the number of the next draw under it; safe to share between threads.

    What is drawn with ``generator=`` depends on its seed and on what was drawn from it before, and leaves the process's draws
    (:func:`manual_seed`) as they were. A new generator has the same seed each time, as PyTorch's has.

    Parameters
    ----------
    device : str, optional
        Kept as its attribute; numbers are the same on every device.

    Raises
    ------
    GraphError
        If it is drawn from in a part of a model that is run again (:func:`checkpoint`, ``parallel.Shards``): the second run would have
        other numbers.

    Examples
    --------
    >>> import neurenix as nx
    >>> g = nx.Generator().manual_seed(0)
    >>> x = nx.randn(2, 3, generator=g)
    >>> nx.randn(2, 3, generator=nx.Generator().manual_seed(0)).equal(x), nx.randn(2, 3, generator=g).equal(x)
    (True, False)
    """

    def __init__(self, device: DeviceLike | None = None) -> None:
        self.device = device_name("cpu" if device is None else str(device))
        self._lock = threading.Lock()
        self.manual_seed(_FIRST)

    def __repr__(self) -> str:
        seed, call = self.get_state()
        return f"<Generator of seed {seed}, {call} draws>"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self.device),), self.get_state()

    def __setstate__(self, state: tuple[int, int]) -> None:
        self.set_state(state)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of ``seed`` anew; the generator itself.

        Raises
        ------
        ArgumentError
            If it is no integer of 64 bits.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.Generator().manual_seed(3)
        <Generator of seed 3, 0 draws>
        """
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not -(_SEEDS // 2) <= seed < _SEEDS:
            raise ArgumentError(f"manual_seed: expected an integer of 64 bits, got {seed!r}; pass e.g. 0")
        with self._lock:
            self._seed, self._call = int(seed) % _SEEDS, 0
        return self

    def seed(self) -> int:
        """Start the stream of a seed that the system chooses; the seed.

        Examples
        --------
        >>> import neurenix as nx
        >>> g = nx.Generator()
        >>> g.seed() == g.initial_seed() != nx.Generator().initial_seed()
        True
        """
        return self.manual_seed(int.from_bytes(os.urandom(8), "little"))._seed

    def initial_seed(self) -> int:
        """The seed in use.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.Generator().manual_seed(7).initial_seed()
        7
        """
        return self._seed

    def next_call(self) -> tuple[int, int]:
        """(seed, call) of one draw; the next draw has another.

        Examples
        --------
        >>> import neurenix as nx
        >>> g = nx.Generator().manual_seed(7)
        >>> g.next_call(), g.next_call()
        ((7, 0), (7, 1))
        """
        with self._lock:
            call = self._call
            self._call += 1
            return self._seed, call

    def get_state(self) -> tuple[int, int]:
        """(seed, number of the next draw): two integers that can be stored.

        Examples
        --------
        >>> import neurenix as nx
        >>> g = nx.Generator().manual_seed(7)
        >>> _ = nx.rand(5, generator=g)
        >>> g.get_state()
        (7, 1)
        """
        with self._lock:
            return self._seed, self._call

    def set_state(self, state: tuple[int, int]) -> None:
        """Go on from a state that :meth:`get_state` gave.

        Raises
        ------
        ArgumentError
            If it is none.

        Examples
        --------
        >>> import neurenix as nx
        >>> g = nx.Generator()
        >>> state, x = g.get_state(), nx.rand(5, generator=g)
        >>> g.set_state(state)
        >>> nx.rand(5, generator=g).equal(x)
        True
        """
        try:
            seed, call = (int(v) for v in state)
        except (TypeError, ValueError):
            raise ArgumentError(f"set_state: expected (seed, call), got {state!r}; pass what get_state() or get_rng_state() gave") from None
        if not (0 <= seed < _SEEDS and 0 <= call < _SEEDS):
            raise ArgumentError(
                f"set_state: expected two integers of 64 bits, got {state!r}; pass what get_state() or get_rng_state() gave"
            )
        with self._lock:
            self._seed, self._call = seed, call


default_generator = Generator()
default_generator.seed()
_current: ContextVar[Generator | None] = ContextVar("generator", default=None)
_run_again: ContextVar[str | None] = ContextVar("run_again", default=None)
_first_sample: ContextVar[int] = ContextVar("first_sample", default=0)


def generator() -> Generator:
    """The generator that draws without one of their own use here."""
    return _current.get() or default_generator


def drawing(given: Generator | None, owner: str = "drawing") -> Generator:
    """The generator that an argument names, or the one that draws here.

    Raises
    ------
    DTypeError
        If it is something else.
    GraphError
        In what is run again.
    """
    if given is None:
        return generator()
    if not isinstance(given, Generator):
        raise DTypeError(f"{owner}: expected a neurenix.Generator, got {type(given)!r}; pass generator=nx.Generator().manual_seed(0)")
    if rerun := _run_again.get():
        raise GraphError(
            f"{rerun}: expected draws without generator= in what is run again, got some with, which would then give other numbers; "
            "leave it out, or draw before and pass the numbers"
        )
    return given


@contextmanager
def run_again(owner: str) -> Iterator[None]:
    """Draw here from generators only whose state is put back for the second run, which are not those of ``generator=``."""
    token = _run_again.set(owner)
    try:
        yield
    finally:
        _run_again.reset(token)


def manual_seed(seed: int) -> Generator:
    """Seed the draws of this process: initial weights, dropout, shuffling, :func:`rand` and the rest.

    Examples
    --------
    >>> import neurenix as nx
    >>> _ = nx.manual_seed(0)
    >>> a = nx.rand(2)
    >>> _ = nx.manual_seed(0)
    >>> bool((a.numpy() == nx.rand(2).numpy()).all())
    True
    """
    return generator().manual_seed(seed)


def initial_seed() -> int:
    """The seed in use; a random one until :func:`manual_seed`.

    Examples
    --------
    >>> import neurenix as nx
    >>> _ = nx.manual_seed(7)
    >>> nx.initial_seed()
    7
    """
    return generator().initial_seed()


def get_rng_state() -> tuple[int, int]:
    """Where the draws stand: (seed, number of the next draw), two integers; see :func:`set_rng_state`.

    Examples
    --------
    >>> import neurenix as nx
    >>> _ = nx.manual_seed(7)
    >>> _ = nx.rand(2), nx.rand(1000)
    >>> nx.get_rng_state()
    (7, 2)
    """
    return generator().get_state()


def set_rng_state(state: tuple[int, int]) -> None:
    """Go on from a state that :func:`get_rng_state` gave.

    Examples
    --------
    >>> import neurenix as nx
    >>> state = nx.get_rng_state()
    >>> x = nx.rand(3)
    >>> nx.set_rng_state(state)
    >>> nx.rand(3).equal(x)
    True
    """
    generator().set_state(state)


@contextmanager
def replay(state: tuple[int, int]) -> Iterator[Generator]:
    """Draw here, in this thread or task only, what was drawn from ``state`` on; draws elsewhere go on undisturbed."""
    own = Generator()
    own.set_state(state)
    token = _current.set(own)
    try:
        yield own
    finally:
        _current.reset(token)


@contextmanager
def first_sample(number: int) -> Iterator[None]:
    """Number the samples of batches here from ``number`` on, so that a shard of a batch gets the masks of its samples."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1 << 32:
        raise ArgumentError(
            f"first_sample: expected a number of 0 to 2**32 - 1, got {number!r}; pass the first sample's place in the whole batch"
        )
    token = _first_sample.set(number)
    try:
        yield
    finally:
        _first_sample.reset(token)


def sample_base() -> int:
    """The number of the first sample of a batch here."""
    return _first_sample.get()
