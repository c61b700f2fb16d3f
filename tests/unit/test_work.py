"""How much a U-Net does, counted and not timed: kernel calls, bytes that they pass over, multiply-adds, memory that is asked for.

The counts are committed in ``work.txt``. A change that costs more or less fails here until its counts are written down, by
``python tests/unit/test_work.py`` or ``make work``: the commit then shows what it changed.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurenix as nx
from neurenix import _rust
from neurenix.backend.kernel import Kernel
from neurenix.multiscale import UNet

COUNTS = Path(__file__).parent / "work.txt"
HEAD = """\
# What a U-Net of 16 and 32 channels (bottleneck 64) does on two images of 64 x 64, counted in its second run: written by `make work`.
# case | kernel | calls | bytes of its arrays | multiply-adds; a line "memory" has the arrays that are asked for, and their bytes.
"""
FLOOR = 6 * 6 / (4 * 4 * 3 * 3)  # multiply-adds of Winograd's algorithm to those of a direct 3x3 convolution


def multiply_adds(row: Kernel, args: tuple[Any, ...]) -> int:
    """Multiply-adds of a kernel that convolves, by the sizes that its row names; 0 of any other."""
    has = dict(zip((name for name, _ in row.params), args, strict=True))
    if not {"n", "h", "w", "oh", "ow", "outputs", "channels"} <= has.keys():
        return 0
    pairs = has.get("groups", 1) * has["outputs"] * has["channels"]
    if "winograd" in row.name:
        return 36 * has["n"] * -(-has["oh"] // 4) * -(-has["ow"] // 4) * pairs
    return has["n"] * min(has["h"] * has["w"], has["oh"] * has["ow"]) * has["kh"] * has["kw"] * pairs


def nbytes(value: Any) -> int:
    return sum(map(nbytes, value)) if isinstance(value, list) else getattr(value, "nbytes", 0)


@contextmanager
def counted() -> Iterator[dict[str, Counter[str]]]:
    """Count what runs inside, by kernel."""
    counts: dict[str, Counter[str]] = {}
    run, empty = Kernel.__call__, _rust.empty

    def call(self: Kernel, *args: Any) -> None:
        counts.setdefault(self.name, Counter()).update(calls=1, bytes=sum(map(nbytes, args)), work=multiply_adds(self, args))
        run(self, *args)

    def new(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        array = empty(shape, dtype)
        counts.setdefault("memory", Counter()).update(calls=1, bytes=array.nbytes)
        return array

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "__call__", call)
        patch.setattr(_rust, "empty", new)
        yield counts


def cases(device: str = "cpu") -> dict[str, Callable[[], object]]:
    """An inference and a training step with Adam."""
    nx.manual_seed(0)
    random = np.random.default_rng(0)
    given = random.random((2, 3, 64, 64), np.float32), (random.random((2, 1, 64, 64)) > 0.5).astype("f4")
    images, masks = (nx.tensor(a).to(device) for a in given)
    models = {"inference": UNet(3, 1, [16, 32]).eval().to(device), "training": UNet(3, 1, [16, 32]).to(device)}
    optimizer, criterion = nx.optim.Adam(models["training"].parameters(), lr=1e-3), nx.nn.BCELoss()

    def infer() -> object:
        with nx.no_grad():
            return models["inference"](images)

    def step() -> None:
        optimizer.zero_grad()
        criterion(models["training"](images), masks).backward()
        optimizer.step()

    return {"inference": infer, "training": step}


def lines(device: str = "cpu") -> list[str]:
    """One line a case and kernel, and one with their sum."""
    found = []
    for case, run in cases(device).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # statistics of no batch: no matter here
            run()
        with counted() as counts:
            run()
        memory = counts.pop("memory", Counter())
        rows = {"all kernels": sum(counts.values(), Counter())} | dict(sorted(counts.items()))
        found += [f"{case} | {name} | {c['calls']} | {c['bytes']} | {c['work']}" for name, c in rows.items()]
        if device == "cpu":
            found.append(f"{case} | memory | {memory['calls']} | {memory['bytes']}")
    return found


def by_name(text: list[str]) -> dict[str, str]:
    """The numbers of each case and kernel."""
    return {" ".join(line.split(" | ")[:2]): ", ".join(line.split(" | ")[2:]) for line in text if not line.startswith("#")}


def changes(now: list[str], counts: Path) -> list[str]:
    """What differs from the counts in a file."""
    known, before = by_name(now), by_name(counts.read_text().splitlines())
    return [
        f"{name}: {before.get(name, 'nothing')} -> {known.get(name, 'nothing')}"
        for name in sorted(known | before)
        if known.get(name) != before.get(name)
    ]


def test_counts_are_those_written_down():
    changed = changes(lines(), COUNTS)
    told = "calls, bytes and multiply-adds are not those of tests/unit/work.txt; if that is meant, `make work` writes them down"
    assert not changed, told + ":\n" + "\n".join(changed)


def test_winograd_is_counted_at_a_quarter_of_direct():
    x, w = nx.tensor(np.ones((1, 16, 32, 32), np.float32)), nx.tensor(np.ones((16, 16, 3, 3), np.float32))
    work = []
    for setting in ("fast", "ieee"):
        with nx.set_float32_precision(setting), counted() as counts:
            nx.nn.functional.conv2d(x, w, padding=1)
        work.append(sum(c["work"] for c in counts.values()))
    assert work == [work[1] * FLOOR, 32 * 32 * 16 * 16 * 9]


if __name__ == "__main__":
    COUNTS.write_text(HEAD + "\n".join(lines()) + "\n")
