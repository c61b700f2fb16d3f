"""What the library sets itself to reach, and how far a run of the benchmarks got: ratios over peers, memory, start-up.

A ratio is a peer's median over ours, so above 1 ours is faster. "The best" is the fastest peer that computes in float32 with an error
below 1e-5 at the logits; of layers, where each is another case, the geometric mean counts, and the lowest where it says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from _engines import BELOW

Row = dict[str, Any]
Results = dict[str, list[Row]]  # rows of each program
OURS, HALF, OF_COPY = "neurenix", "bfloat16", "of copy"


class Found(NamedTuple):
    """What was measured, and between what bounds it lies when each side is taken at its quartiles."""

    value: float
    low: float
    high: float
    beside: str = ""  # the peer


class Goal(NamedTuple):
    """What is to be reached: at least a ratio, over a peer or of what a copy reaches, or at most a quantity with a unit."""

    work: str
    number: float
    unit: str  # "x" for a ratio over peers
    find: Callable[[Results], Found | None]

    def met(self, value: float) -> bool:
        """Whether it is reached."""
        return value >= self.number if self.unit in ("x", OF_COPY) else value <= self.number


def is_float32(row: Row) -> bool:
    """Whether a peer computes in float32, exactly enough."""
    return HALF not in row["side"] and row.get("error", 0) < BELOW


def rows_of(results: Results, program: str, **where: str) -> list[Row]:
    """Rows of a program with these values."""
    return [row for row in results.get(program, []) if all(row.get(key) == value for key, value in where.items())]


def over(rows: list[Row], counts: Callable[[Row], bool]) -> Found | None:
    """The fastest peer that counts over ours, of one case."""
    mine = next((row for row in rows if row["side"] == OURS), None)
    peers = [row for row in rows if not row["side"].startswith(OURS) and row["side"] != "nothing" and counts(row)]
    if mine is None or not peers:
        return None
    best = min(peers, key=lambda row: row["ms"])
    return Found(best["ms"] / mine["ms"], best["low ms"] / mine["high ms"], best["high ms"] / mine["low ms"], best["side"])


def named(*starts: str) -> Callable[[Row], bool]:
    """Float32 peers whose names start so."""
    return lambda row: row["side"].startswith(starts) and is_float32(row)


def mean(found: Iterable[Found | None]) -> Found | None:
    """Geometric mean of cases; None where one is missing."""
    all_ = list(found)
    if not all_ or None in all_:
        return None
    low, value, high = (math.exp(sum(math.log(getattr(f, key)) for f in all_ if f) / len(all_)) for key in ("low", "value", "high"))
    return Found(value, low, high)


def lowest(found: Iterable[Found | None]) -> Found | None:
    """The case with the lowest ratio; None where one is missing."""
    all_ = list(found)
    return None if not all_ or None in all_ else min(f for f in all_ if f)


def layers(results: Results, kind: str, part: str, counts: Callable[[Row], bool]) -> list[Found | None]:
    """Ratios of layers of a kind: of the forward pass, or of all three parts together ("all"), each at the peer's best."""
    rows = rows_of(results, "conv", kind=kind)
    cases = list(dict.fromkeys(row["case"] for row in rows))
    return [together([row for row in rows if row["case"] == case and part in (row["part"], "all")], counts) for case in cases]


def together(rows: list[Row], counts: Callable[[Row], bool]) -> Found | None:
    """Parts of a layer summed up, the fastest peer for each; what it is beside is the layer's name."""
    case = rows[0]["case"]
    sums = {side: {"side": side, "ms": 0.0, "low ms": 0.0, "high ms": 0.0} for side in (OURS, case)}
    for part in dict.fromkeys(row["part"] for row in rows):
        of_part = [row for row in rows if row["part"] == part]
        mine, peers = [r for r in of_part if r["side"] == OURS], [r for r in of_part if r["side"] != OURS and counts(r)]
        if not mine or not peers:
            return None
        for side, row in ((OURS, mine[0]), (case, min(peers, key=lambda r: r["ms"]))):
            for key in ("ms", "low ms", "high ms"):
                sums[side][key] += row[key]
    return over(list(sums.values()), lambda _: True)


def unet(case: str, counts: Callable[[Row], bool] = is_float32) -> Callable[[Results], Found | None]:
    """The ratio of a U-Net."""
    return lambda results: over(rows_of(results, "unet", case=case), counts)


def quantity(program: str, case: str, key: str) -> Callable[[Results], Found | None]:
    """A number of ours."""

    def find(results: Results) -> Found | None:
        rows = rows_of(results, program, case=case, side=OURS)
        return Found(*[rows[0][key]] * 3) if rows else None

    return find


def bound_by_memory(pools: bool) -> Callable[[Results], list[Found | None]]:
    """Ratios of operations that are bound by memory, or of stride-1 max pools and pyramids of them."""

    def find(results: Results) -> list[Found | None]:
        rows = rows_of(results, "memory")
        cases = [case for case in dict.fromkeys(row["case"] for row in rows) if is_pool(case) == pools]
        found = {case: over([row for row in rows if row["case"] == case], is_float32) for case in cases}
        return [ratio and ratio._replace(beside=f"{case}, {ratio.beside}") for case, ratio in found.items()]

    return find


def is_pool(case: str) -> bool:
    """Whether a case is a stride-1 max pool's forward pass, or that of a pyramid of them."""
    return case.startswith(("stride-1 max pool", "SPP")) and not case.endswith("backward")


def of_copy(results: Results) -> Found | None:
    """The share of a copy's bandwidth that operations bound by memory reach."""
    rows = [row for row in rows_of(results, "memory", side=OURS) if not is_pool(row["case"])]
    return mean(Found(*[row[OF_COPY]] * 3) for row in rows)


def layer_goal(work: str, number: float, of: Any, kind: str, part: str, *sides: str) -> Goal:
    """A goal over layers of a kind."""
    counts = named(*sides) if sides else is_float32
    return Goal(work, number, "x", lambda results: of(layers(results, kind, part, counts)))


GOALS = [
    layer_goal("3x3 layers of 64 to 1024 channels, forward, over PyTorch", 3.0, mean, "wide", "forward", "PyTorch"),
    layer_goal("3x3 layers of 64 to 1024 channels, forward, the lowest", 2.3, lowest, "wide", "forward", "PyTorch"),
    layer_goal("3x3 layers of 64 to 1024 channels, forward, over ncnn", 1.3, mean, "wide", "forward", "ncnn"),
    layer_goal("3x3 layers of 64 to 1024 channels, with gradients, over PyTorch", 2.9, mean, "wide", "all", "PyTorch"),
    layer_goal("3x3 layers of 16 and 32 channels, forward, over the best", 1.5, mean, "narrow", "forward"),
    Goal("U-Net 64..512, 256x256, inference, over the best", 1.5, "x", unet("inference 64..512 256x256 b1")),
    Goal("U-Net 64..512, 512x512, inference, over the best", 1.5, "x", unet("inference 64..512 512x512 b1")),
    Goal("U-Net 64..512, training step, over the best", 2.3, "x", unet("training 64..512 256x256 b1")),
    Goal(
        "U-Net 64..512, training step, over PyTorch's bfloat16",
        1.0,
        "x",
        unet("training 64..512 256x256 b1", lambda row: HALF in row["side"]),
    ),
    Goal("U-Net 16..128, batch 4, inference, over the best", 1.7, "x", unet("inference 16..128 256x256 b4")),
    Goal("U-Net 16..128, batch 4, training step, over the best", 1.8, "x", unet("training 16..128 256x256 b4")),
    layer_goal("other layers, forward, over PyTorch", 1.15, mean, "other", "forward", "PyTorch"),
    layer_goal("other layers, forward, the lowest", 1.15, lowest, "other", "forward", "PyTorch"),
    layer_goal("other layers, with gradients, over PyTorch", 1.15, mean, "other", "all", "PyTorch"),
    Goal("operations bound by memory, over the best", 1.3, "x", lambda results: mean(bound_by_memory(False)(results))),
    Goal("operations bound by memory, the lowest", 1.0, "x", lambda results: lowest(bound_by_memory(False)(results))),
    Goal("operations bound by memory, bytes a second of a copy's", 0.85, OF_COPY, of_copy),
    Goal("stride-1 max pools and SPP, over the best", 5.0, "x", lambda results: mean(bound_by_memory(True)(results))),
    Goal("peak memory, inference of 512x512", 480, "MB", quantity("peaks", "inference 64..512 512x512 b1", "MB")),
    Goal("peak memory, training step of two 256x256", 1000, "MB", quantity("peaks", "training 64..512 256x256 b2", "MB")),
    Goal("from process start to the import", 200, "ms", quantity("imports", "import", "ms")),
    Goal("memory held after the import", 45, "MB", quantity("imports", "import", "MB")),
    Goal("from process start to a first small result", 200, "ms", quantity("imports", "first small result", "ms")),
]


def reached(results: Results) -> dict[str, dict[str, Any]]:
    """Every goal by its work: what was found, and whether that meets it; of what was not measured the number alone."""
    found = {}
    for goal in GOALS:
        entry: dict[str, Any] = {"goal": goal.number, "unit": goal.unit}
        value = goal.find(results)
        if value is not None:
            entry |= {key: float(f"{getattr(value, key):.4g}") for key in ("value", "low", "high")}
            entry |= {"beside": value.beside} if value.beside else {}
            entry["met"] = goal.met(value.value)
        found[goal.work] = entry
    return found
