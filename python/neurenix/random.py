"""Random numbers: Philox4x32-10, keyed by a seed and the number of the call.

A draw is a pure function of (seed, call, sample, element): threads, batch positions and devices change nothing. Draws are
made on the CPU and moved, so a seed gives one set of values everywhere; dropout masks are computed where they are used.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from neurenix import backend, lazy
from neurenix._typing import Array, DeviceLike, DTypeLike
from neurenix.backend.kernel import In, IndexOut, Key, Offset, Out, Real, kernel
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.tensor import Tensor, default_device

_SEEDS = 1 << 64


@kernel("floats")
def random_uniform(y: Out, low: Real, high: Real, seed: Key, call: Key) -> None:
    """y = low + (high - low) * u, u uniform in [0, 1)."""


@kernel("floats")
def random_normal(y: Out, mean: Real, deviation: Real, seed: Key, call: Key) -> None:
    """y = mean + deviation * z, z standard normal (Box and Muller)."""


@kernel("floats")
def random_truncated_normal(y: Out, mean: Real, deviation: Real, low: Real, high: Real, seed: Key, call: Key) -> None:
    """y = mean + deviation * z, draws outside [low, high] repeated."""


@kernel("numbers")
def random_integers(y: IndexOut, low: Offset, span: Key, seed: Key, call: Key) -> None:
    """y = integers of [low, low + span)."""


@kernel("numbers")
def random_permutation(y: IndexOut, seed: Key, call: Key) -> None:
    """y = 0 .. n - 1 in random order (Fisher and Yates)."""


@kernel("floats")
def random_poisson(y: Out, x: In, scale: Real, seed: Key, call: Key) -> None:
    """y = Poisson numbers of mean x * scale, over scale."""


class Generator:
    """A seed and the number of the next draw under it; safe to share between threads.

    Parameters
    ----------
    seed : int
        0 to 2**64 - 1.
    """

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of ``seed`` anew."""
        if isinstance(seed, bool) or not isinstance(seed, int) or not -(_SEEDS // 2) <= seed < _SEEDS:
            raise ArgumentError(f"manual_seed: expected an integer of 64 bits, got {seed!r}; pass e.g. 0")
        with self._lock:
            self._seed, self._call = seed % _SEEDS, 0
        return self

    def initial_seed(self) -> int:
        """The seed in use."""
        return self._seed

    def next_call(self) -> tuple[int, int]:
        """(seed, call) of one draw; the next draw has another."""
        with self._lock:
            call = self._call
            self._call += 1
            return self._seed, call

    def get_state(self) -> tuple[int, int]:
        """(seed, number of the next draw): two integers that can be stored."""
        with self._lock:
            return self._seed, self._call

    def set_state(self, state: tuple[int, int]) -> None:
        """Go on from a state that :meth:`get_state` gave."""
        try:
            seed, call = (int(v) for v in state)
        except (TypeError, ValueError):
            raise ArgumentError(f"set_state: expected (seed, call), got {state!r}; pass what get_rng_state() gave") from None
        if not (0 <= seed < _SEEDS and 0 <= call < _SEEDS):
            raise ArgumentError(f"set_state: expected two integers of 64 bits, got {state!r}; pass what get_rng_state() gave")
        with self._lock:
            self._seed, self._call = seed, call


default_generator = Generator(int.from_bytes(os.urandom(8), "little"))
_current: ContextVar[Generator | None] = ContextVar("generator", default=None)
_first_sample: ContextVar[int] = ContextVar("first_sample", default=0)


def generator() -> Generator:
    """The generator that draws without one of their own use here."""
    return _current.get() or default_generator


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
    own = Generator(0)
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


def _sizes(op: str, size: tuple[object, ...]) -> tuple[int, ...]:
    sizes = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    if not all(isinstance(s, int | np.integer) and not isinstance(s, bool) and s >= 0 for s in sizes):
        raise ShapeError(f"{op}: expected sizes that are integers of at least 0, got {sizes!r}; pass e.g. {op}(2, 3)")
    return tuple(int(s) for s in sizes if isinstance(s, int | np.integer))


def _finish(array: Array, dtype: DTypeLike | None, device: DeviceLike | None) -> Tensor:
    out = Tensor._wrap(backend.to_device(array, default_device() if device is None else device))
    return out if dtype is None else out.to(dtype=dtype)


def _floats(op: str, size: tuple[int, ...], dtype: DTypeLike | None) -> Array:
    try:
        kind = np.dtype(np.float32 if dtype is None else dtype)
    except TypeError:
        kind = np.dtype(np.bool_)
    if kind not in (np.float32, np.float64):
        raise DTypeError(f"{op}: expected float32 or float64, got {dtype!r}; draw float32 and convert it")
    return backend.empty(_sizes(op, (size,)), kind, "cpu")


def uniform(
    size: tuple[int, ...], low: float = 0.0, high: float = 1.0, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None
) -> Tensor:
    """Numbers of [low, high), each equally likely."""
    if lazy.is_loading():
        return Tensor(shape=size, dtype=dtype)
    y = _floats("uniform", size, dtype)
    random_uniform(y, float(low), float(high), *generator().next_call())
    return _finish(y, None, device)


def normal(
    size: tuple[int, ...], mean: float = 0.0, std: float = 1.0, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None
) -> Tensor:
    """Normal numbers of this mean and standard deviation."""
    if lazy.is_loading():
        return Tensor(shape=size, dtype=dtype)
    y = _floats("normal", size, dtype)
    random_normal(y, float(mean), float(std), *generator().next_call())
    return _finish(y, None, device)


def truncated_normal(
    size: tuple[int, ...],
    mean: float,
    std: float,
    low: float,
    high: float,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
) -> Tensor:
    """Normal numbers of this mean and standard deviation, those outside [low, high] drawn again."""
    if lazy.is_loading():
        return Tensor(shape=size, dtype=dtype)
    y = _floats("truncated_normal", size, dtype)
    random_truncated_normal(y, float(mean), float(std), float(low), float(high), *generator().next_call())
    return _finish(y, None, device)


def poisson(rates: Array, scale: float = 1.0) -> Array:
    """Poisson numbers of mean ``rates * scale``, over ``scale``; float32 or float64 as the rates, on the CPU."""
    y = backend.new(rates, rates.shape)
    random_poisson(y, rates, float(scale), *generator().next_call())
    return y


def rand(*size: int, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """Uniform numbers of [0, 1).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.rand(2, 3).shape
    (2, 3)
    """
    y = uniform(_sizes("rand", size), dtype=dtype, device=device)
    return y.requires_grad_(True) if requires_grad else y


def randn(*size: int, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """Standard normal numbers.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.randn((4,)).shape
    (4,)
    """
    y = normal(_sizes("randn", size), dtype=dtype, device=device)
    return y.requires_grad_(True) if requires_grad else y


def randint(
    low: int,
    high: int | tuple[int, ...] | None = None,
    size: tuple[int, ...] | None = None,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
) -> Tensor:
    """Integers of [low, high); ``randint(high, size)`` starts at 0.

    Raises
    ------
    ArgumentError
        Unless ``low`` is below ``high``, both integers of 64 bits.
    ShapeError
        If ``size`` is no shape.

    Examples
    --------
    >>> import neurenix as nx
    >>> int(nx.randint(3, 4, (1,)).item())
    3
    """
    if size is None:
        low, high, size = 0, low, high  # type: ignore[assignment]  # the form of two arguments shifts their places
    if not isinstance(low, int) or not isinstance(high, int) or not -(_SEEDS // 2) <= low < high < _SEEDS // 2:
        raise ArgumentError(f"randint: expected integers low < high of 64 bits, got {low!r} and {high!r}; pass e.g. randint(0, 10, (3,))")
    if not isinstance(size, (tuple, list)):
        raise ShapeError(f"randint: expected a shape, got {size!r}; pass e.g. randint(0, 10, (3,))")
    y = backend.empty(_sizes("randint", (size,)), "int64", "cpu")
    random_integers(y, low, high - low, *generator().next_call())
    return _finish(y, dtype, device)


def randperm(n: int, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None) -> Tensor:
    """The integers 0 to n - 1 in random order.

    Examples
    --------
    >>> import neurenix as nx
    >>> sorted(nx.randperm(3).tolist())
    [0, 1, 2]
    """
    y = backend.empty(_sizes("randperm", (n,)), "int64", "cpu")
    random_permutation(y, *generator().next_call())
    return _finish(y, dtype, device)


def rand_like(input: Tensor, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """Uniform numbers of [0, 1) in the shape, type and device of ``input``, which are floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.rand_like(nx.zeros(2, 3, dtype=nx.float64))
    >>> x.shape, x.dtype
    ((2, 3), dtype('float64'))
    """
    return rand(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)  # type: ignore[arg-type]  # a shape


def randn_like(input: Tensor, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """Standard normal numbers in the shape, type and device of ``input``, which are floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> image = nx.zeros(1, 3, 8, 8)
    >>> (image + 0.1 * nx.randn_like(image)).shape
    (1, 3, 8, 8)
    """
    return randn(input.shape, dtype=dtype or input.dtype, device=device or input.device, requires_grad=requires_grad)  # type: ignore[arg-type]  # a shape


def randint_like(
    input: Tensor, low: int, high: int | None = None, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None
) -> Tensor:
    """Integers of [low, high), or of [0, low), in the shape, type and device of ``input``.

    Examples
    --------
    >>> import neurenix as nx
    >>> labels = nx.randint_like(nx.zeros(4, 4, dtype=nx.int64), 3)
    >>> labels.shape, 0 <= labels.min().item() <= labels.max().item() < 3
    ((4, 4), True)
    """
    first, last = (0, low) if high is None else (low, high)
    return randint(first, last, input.shape, dtype=dtype or input.dtype, device=device or input.device)
