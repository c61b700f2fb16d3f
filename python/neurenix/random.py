"""Random numbers: Philox4x32-10, keyed by a seed and the number of the call.

A draw is a pure function of (seed, call, sample, element): threads, batch positions and devices change nothing. Draws are
made on the CPU and moved, so a seed gives one set of values everywhere; dropout masks are computed where they are used.
"""

from __future__ import annotations

import numpy as np

from neurenix import backend, lazy
from neurenix._typing import Array, DeviceLike, DTypeLike
from neurenix.backend.kernel import In, IndexOut, Key, Offset, Out, Real, kernel
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.generators import (
    Generator as Generator,
    default_generator as default_generator,
    drawing,
    first_sample as first_sample,
    generator as generator,
    get_rng_state as get_rng_state,
    initial_seed as initial_seed,
    manual_seed as manual_seed,
    replay as replay,
    run_again as run_again,
    sample_base as sample_base,
    set_rng_state as set_rng_state,
)
from neurenix.tensor import Tensor, default_device

_WHOLE = 1 << 63  # integers of 64 bits are from -_WHOLE to below it


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
    size: tuple[int, ...],
    low: float = 0.0,
    high: float = 1.0,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Numbers of [low, high), each equally likely."""
    if lazy.is_loading():
        return Tensor(shape=size, dtype=dtype)
    y = _floats("uniform", size, dtype)
    random_uniform(y, float(low), float(high), *drawing(generator).next_call())
    return _finish(y, None, device)


def normal(
    size: tuple[int, ...],
    mean: float = 0.0,
    std: float = 1.0,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers of this mean and standard deviation."""
    if lazy.is_loading():
        return Tensor(shape=size, dtype=dtype)
    y = _floats("normal", size, dtype)
    random_normal(y, float(mean), float(std), *drawing(generator).next_call())
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
    generator: Generator | None = None,
) -> Tensor:
    """Normal numbers of this mean and standard deviation, those outside [low, high] drawn again."""
    if lazy.is_loading():
        return Tensor(shape=size, dtype=dtype)
    y = _floats("truncated_normal", size, dtype)
    random_truncated_normal(y, float(mean), float(std), float(low), float(high), *drawing(generator).next_call())
    return _finish(y, None, device)


def poisson(rates: Array, scale: float = 1.0) -> Array:
    """Poisson numbers of mean ``rates * scale``, over ``scale``; float32 or float64 as the rates, on the CPU."""
    y = backend.new(rates, rates.shape)
    random_poisson(y, rates, float(scale), *drawing(None).next_call())
    return y


def rand(
    *size: int,
    generator: Generator | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers of [0, 1), from the process's generator (:func:`manual_seed`) or one of your own (:class:`Generator`).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.rand(2, 3).shape
    (2, 3)
    >>> x, y = (nx.rand(2, 3, generator=nx.Generator().manual_seed(0)) for _ in range(2))
    >>> x.equal(y)
    True
    """
    y = uniform(_sizes("rand", size), dtype=dtype, device=device, generator=generator)
    return y.requires_grad_(True) if requires_grad else y


def randn(
    *size: int,
    generator: Generator | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal numbers.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.randn((4,)).shape
    (4,)
    """
    y = normal(_sizes("randn", size), dtype=dtype, device=device, generator=generator)
    return y.requires_grad_(True) if requires_grad else y


def randint(
    low: int,
    high: int | tuple[int, ...] | None = None,
    size: tuple[int, ...] | None = None,
    *,
    generator: Generator | None = None,
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
    if not isinstance(low, int) or not isinstance(high, int) or not -_WHOLE <= low < high < _WHOLE:
        raise ArgumentError(f"randint: expected integers low < high of 64 bits, got {low!r} and {high!r}; pass e.g. randint(0, 10, (3,))")
    if not isinstance(size, (tuple, list)):
        raise ShapeError(f"randint: expected a shape, got {size!r}; pass e.g. randint(0, 10, (3,))")
    y = backend.empty(_sizes("randint", (size,)), "int64", "cpu")
    random_integers(y, low, high - low, *drawing(generator).next_call())
    return _finish(y, dtype, device)


def randperm(n: int, *, generator: Generator | None = None, dtype: DTypeLike | None = None, device: DeviceLike | None = None) -> Tensor:
    """The integers 0 to n - 1 in random order.

    Examples
    --------
    >>> import neurenix as nx
    >>> sorted(nx.randperm(3).tolist())
    [0, 1, 2]
    """
    y = backend.empty(_sizes("randperm", (n,)), "int64", "cpu")
    random_permutation(y, *drawing(generator).next_call())
    return _finish(y, dtype, device)


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers of [0, 1) in the shape, type and device of ``input``, which are floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.rand_like(nx.zeros(2, 3, dtype=nx.float64))
    >>> x.shape, x.dtype
    ((2, 3), dtype('float64'))
    """
    kind, place = dtype or input.dtype, device or input.device
    return rand(*input.shape, generator=generator, dtype=kind, device=place, requires_grad=requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal numbers in the shape, type and device of ``input``, which are floats.

    Examples
    --------
    >>> import neurenix as nx
    >>> image = nx.zeros(1, 3, 8, 8)
    >>> (image + 0.1 * nx.randn_like(image)).shape
    (1, 3, 8, 8)
    """
    kind, place = dtype or input.dtype, device or input.device
    return randn(*input.shape, generator=generator, dtype=kind, device=place, requires_grad=requires_grad)


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike | None = None,
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
    return randint(first, last, input.shape, generator=generator, dtype=dtype or input.dtype, device=device or input.device)
