"""Calls of the kernel table's rows, recorded from the library's operations on the CPU, to be made again on another device."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import training_cases
from gpu import kernel_list
from properties import test_operations
from properties.draws import Seeded
from properties.table import load

import neurenix as nx
from neurenix import _rust, data, labelling, ops, optim, random
from neurenix.backend.kernel import KERNELS, Kernel
from neurenix.nn import functional as F
from neurenix.ops import _derived, norm

LARGEST = 1 << 13  # bytes of an array that is kept
OF_A_KIND = 4  # calls that are kept of those with the same ways, element types and missing arrays
SHAPE = (3, 4)


class Packed(NamedTuple):
    """Weights in the order of their device's convolutions, as the call of ``conv_pack`` that makes them."""

    args: list[Any]


def numbers(*shape: int, dtype: Any = "f4", seed: int = 0) -> Any:
    """Normal numbers."""
    return (np.random.default_rng(seed).standard_normal(shape) * 3).astype(dtype)


def laid_out(array: np.ndarray[Any, Any], place: Callable[[Any], Any] = lambda memory: memory) -> Any:
    """A copy with the strides of ``array`` over memory that ``place`` puts somewhere."""
    reach = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    low = sum(r for r in reach if r < 0)
    size = sum(r for r in reach if r > 0) - low + array.itemsize if array.size else 0
    if not size:
        return place(np.empty(array.shape, array.dtype))
    memory = np.zeros(size, np.uint8)
    np.ndarray(array.shape, array.dtype, memory, -low, array.strides)[...] = array
    moved = place(memory)
    return np.ndarray(array.shape, array.dtype, moved.view(np.ndarray), -low, array.strides).view(type(moved))


def each(value: Any, function: Callable[[Any], Any]) -> Any:
    """The function of each array in an argument; other values as they are."""
    if isinstance(value, Packed):
        args = each(value.args, function)
        KERNELS["conv_pack"](*args)
        return args[0]
    if isinstance(value, list):
        return [each(v, function) for v in value]
    return function(value) if isinstance(value, np.ndarray) else value


def _arrays(value: Any) -> list[Any]:
    return [a for v in value for a in _arrays(v)] if isinstance(value, (list, tuple)) else [value] if isinstance(value, np.ndarray) else []


def _kind(row: Kernel, args: tuple[Any, ...]) -> Any:
    ways = [a for a, (_, role) in zip(args, row.params, strict=True) if role == "Enum"]
    types = [a.dtype.str for a in _arrays(args)]
    return (*ways, "|", *types, "|", *(a is None for a in args), "|", any(a.size == 0 for a in _arrays(args)))


def _spied(row: Kernel, found: dict[Any, list[Any]], packs: dict[int, tuple[Any, Packed]]) -> Callable[..., None]:
    real = getattr(_rust, row.name)
    packed = next((i for i, (name, _) in enumerate(row.params) if name == "packed" and i > 0), None)

    def call(*args: Any) -> None:
        kind = _kind(row, args)
        copies = [each(a, laid_out) for a in args]
        if row.name == "conv_pack":
            packs[id(args[0])] = args[0], Packed(copies)  # beside the array itself, so that it stays the only one of its number
        elif packed is not None:
            copies[packed] = packs[id(args[packed])][1]
        if len(found[kind]) < OF_A_KIND and all(a.nbytes <= LARGEST for a in _arrays(args)):
            found[kind].append(copies)
        real(*args)

    return call


def _properties() -> None:
    """Every differentiable operation, forward and backward."""
    for name, row in load().items():
        for seed, dtype in ((0, "f4"), (1, "f4"), (2, "f4"), (3, "f8"), (4, "f8")):
            fn, *arrays = row.make(Seeded(seed + len(name), row.empty and seed == 2))
            test_operations.results(fn, arrays, np.dtype(dtype))


def _optimizers(dtype: str) -> None:
    for name, settings in [*training_cases.OPTIMIZER_CASES, ("Lion", {}), ("Lion", {"weight_decay": 0.1, "maximize": True})]:
        parameters = [nx.nn.Parameter(nx.Tensor(numbers(*s, dtype=dtype))) for s in (SHAPE, (5,))]
        optimizer = getattr(optim, name)(parameters, **settings)
        for step in range(2):
            for p in parameters:
                p.grad = nx.Tensor(numbers(*p.shape, dtype=dtype, seed=step))
            for order in (1.0, 2.0, 3.0, float("inf")):
                nx.nn.utils.clip_grad_norm_(parameters, 1.0, norm_type=order)
            nx.nn.utils.clip_grad_value_(parameters, 2.0)
            optimizer.step()


def _averages(dtype: str) -> None:
    model = nx.nn.Linear(3, 2).to(dtype)
    average = optim.ExponentialMovingAverage(model.parameters(), decay=0.9)
    average.update()


def _random(dtype: str) -> None:
    nx.manual_seed(5)
    random.truncated_normal((300,), 1.0, 2.0, -1.0, 2.5, dtype=dtype)
    random.truncated_normal((3,), 0.0, 1.0, 9.0, 9.5, dtype=dtype)
    random.normal((33,), dtype=dtype)
    random.uniform((33,), dtype=dtype)
    random.poisson(np.abs(numbers(400, dtype=dtype)) * 20, 1.5)
    random.poisson(np.array([0.0, -1.0, 1e5, 9.999, 10.0], dtype), 1.0)
    nx.randint(-3, 9, (33,))
    for n in (1, 5, 700):
        nx.randperm(n)


def _long(dtype: str) -> None:
    """Longer than the units in which sums are closed and lines are cut."""
    x, target = numbers(5, 100, dtype=dtype), nx.Tensor(np.array([3, 99, -100, 0, 7]))
    weight = nx.Tensor(np.abs(numbers(100, dtype=dtype)))
    for function in (
        lambda t: F.cross_entropy(t, target, weight, label_smoothing=0.1),
        lambda t: F.cross_entropy(t, nx.Tensor(np.abs(numbers(5, 100, dtype=dtype))).requires_grad_(), weight, label_smoothing=0.1),
        lambda t: F.nll_loss(t, target, weight, reduction="none"),
        lambda t: F.multi_margin_loss(t, target.clamp(0), 2, 0.7, weight),
        lambda t: nx.prod(t[:, :37], 1),
        lambda t: nx.prod(t[1:3]),
        lambda t: nx.cumprod(t[:, 20:61], 1),
        lambda t: nx.cumprod(t, 0),
        lambda t: nx.prod(t.reshape(1, 2, 250) / 4, 2).sum() + nx.cumprod(t.reshape(250, 2) / 4, 0).sum(),
        lambda t: nx.norm(t, "nuc"),
        lambda t: nx.norm(t.T[:40], "nuc"),
        lambda t: nx.norm(t.reshape(2, 25, 10), "nuc", dim=(1, 2)),
        lambda t: nx.softmax(t, 1).sum() + t.std() + nx.sort(t, 1).values.mean(),
    ):
        function(nx.Tensor(x).requires_grad_()).sum().backward()


def _norms(dtype: str) -> None:
    """The gradients of layer norm apart: a CPU takes both in one pass; more rows than are added up at a time."""
    x, w, b = numbers(90, 11, dtype=dtype), numbers(11, dtype=dtype, seed=1), numbers(11, dtype=dtype, seed=2)
    g = numbers(90, 11, dtype=dtype, seed=3)
    for needs in ((True, False, False), (False, True, True), (False, True, False)):
        t = [nx.Tensor(a, requires_grad=n) for a, n in zip((x, w, b), needs, strict=True)]
        F.layer_norm(t[0], 11, *t[1:]).backward(g)


def _pyramids(dtype: str) -> None:
    """Averages over several grids at once, of which a gradient of some flows; channels in a few and in several vectors."""
    for shape in ((2, 3, 7, 5), (1, 20, 6, 9)):
        x = nx.Tensor(numbers(*shape, dtype=dtype), requires_grad=True)
        for order in (x, x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)):
            averages = ops.pyramid_averages2d(order, [1, 2, 3, (6, 4)])
            sum((y * y).sum() for y in averages[1:]).backward()


def _pools(dtype: str) -> None:
    """The pass that normalises takes maxima: of odd sizes that round up or not, kept or not, behind ReLU or not."""
    for n, h, w, c in ((2, 5, 7, 3), (1, 4, 1, 2)):
        x, (scale, shift) = numbers(n, h, w, c, dtype=dtype), numbers(2, 1, c, dtype=dtype, seed=1)
        for relu, ceil, keeps in itertools.product((True, False), repeat=3):
            size = ((h + ceil) // 2, (w + ceil) // 2)
            norm.apply_pooled(x, norm.Sizes(n, h, w, c, 0), norm.Tables(scale, shift, scale, shift), relu, size, keeps)


def _questions(dtype: str) -> None:
    x, y = (nx.Tensor(numbers(*SHAPE, dtype=dtype, seed=s)) for s in (1, 2))
    for name in ("eq", "ne", "lt", "le", "gt", "ge", "isclose", "logical_and", "logical_or", "logical_xor", "maximum", "minimum"):
        getattr(nx, name)(x, y.T.contiguous().T)
    for name in ("argmax", "argmin", "argsort", "all", "any", "count_nonzero", "nonzero", "unique", "logical_not", "sign", "abs", "neg"):
        getattr(nx, name)(x)
    for kind in (np.float16, np.float32, np.int64, np.uint8, np.bool_):
        x.to(dtype=kind)
    nx.where(x > y, x, y[0])


def _integers(dtype: str) -> None:
    x, y = (nx.Tensor((numbers(*SHAPE, dtype=np.float64, seed=s) * 9).astype(dtype)) for s in (1, 2))
    for name in ("add", "sub", "mul", "floor_divide", "remainder", "fmod", "bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "lcm"):
        getattr(nx, name)(x, y)
    for name in ("bitwise_left_shift", "bitwise_right_shift", "pow"):
        getattr(nx, name)(x, nx.Tensor(np.arange(4).astype(dtype)))
    for name in ("bitwise_not", "square", "sum", "prod", "cumsum", "cumprod", "amax", "amin"):
        getattr(nx, name)(x, *((0,) if name.startswith("cum") else ()))
    x.clone().T.contiguous()


def _images(dtype: str) -> None:
    x = numbers(7, 6, dtype=dtype)
    labels = labelling.connected_components(x > 0)
    labelling.watershed(x, labels)
    labelling.distance_transform_edt(x > 0, spacing=(2.0, 0.5))
    F.signed_distance(nx.Tensor(x[None, None] > 0))
    data.ElasticTransform()(x[None])
    _derived._sum_of(x)


@functools.cache
def recorded() -> dict[str, list[list[Any]]]:
    """Arguments of each row, as they were before the call."""
    kernel_list.import_everything()
    found: dict[str, dict[Any, list[Any]]] = {name: defaultdict(list) for name in KERNELS}
    packs: dict[int, tuple[Any, Packed]] = {}
    before = {name: row._cpu for name, row in KERNELS.items() if not row.gpu_only}
    try:
        for name in before:
            row = KERNELS[name]
            row._cpu = _spied(row, found[name], packs)
        with warnings.catch_warnings(), nx.set_float32_precision("ieee"):
            warnings.simplefilter("ignore")
            _properties()
            for dtype in ("f4", "f8"):
                for further in (_optimizers, _averages, _random, _long, _norms, _pools, _pyramids, _questions, _images):
                    further(dtype)
            for dtype in ("i8", "i4", "i1", "u1"):
                _integers(dtype)
    finally:
        for name, cpu in before.items():
            KERNELS[name]._cpu = cpu
    return {name: [c for calls in kinds.values() for c in calls] for name, kinds in found.items()}
