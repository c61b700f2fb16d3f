"""What every benchmark shares: the machine's limits, interleaved timing, a table and a file of results.

Sides run in turn (A B A B ...) in one process, so that drift of a shared machine hits all alike; before a side's turn the threads of
the one before it must have gone to sleep. A sample is one call, or a burst of calls where one is short. Medians are reported, and the
quartiles beside them.

A benchmark's rows are one a case and side: ``rows += compare(case, times)``. `make bench` runs the programs that `run.py` names.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = Path(os.environ.get("NEURENIX_BENCH_RESULTS", HERE / "results"))
# Other libraries' threads must sleep between calls, not spin on a core that the next side needs.
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
# Workarounds of some machines for old BLAS builds; they slow a current one, so a peer runs without them.
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
BURST = 0.01  # seconds that a sample should take at least


class Seconds(float):
    """A median of seconds, with the quartiles around it in ``low`` and ``high``."""

    low: float
    high: float

    def __new__(cls, samples: list[float]) -> Seconds:
        """Sum up samples."""
        value = super().__new__(cls, statistics.median(samples))
        value.low, _, value.high = statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else samples * 3
        return value


def fair_environment() -> None:
    """Start this program again with the settings that are fair to every side."""
    if all(os.environ.get(k) == v for k, v in PASSIVE.items()) and not any(k in os.environ for k in UNSET):
        return
    environment = {k: v for k, v in os.environ.items() if k not in UNSET} | PASSIVE
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def machine() -> dict[str, Any]:
    """The machine, the code's commit, and the two limits that figures are to be read against."""
    from neurenix import _rust

    return {
        "processor": processor(),
        "level": _rust.level(),
        "threads": _rust.num_threads(),
        "python": platform.python_version(),
        "commit": os.environ.get("NEURENIX_COMMIT") or commit(),  # an unpacked archive has no repository
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "busy": busy(),
        "fma_gflops": round(_rust.fma_peak(), 1),
        "copy_gbs": round(_rust.copy_bandwidth(), 1),
    }


def processor() -> str:
    """Its name, and the family that tells generations of one name apart."""
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    about = {key.strip(): value.strip() for key, _, value in lines}
    family = f", family {about['cpu family']}" if "cpu family" in about else ""
    return about.get("model name", "?") + family


def commit() -> str:
    """The checkout's commit, with a plus where sources differ from it."""
    git = lambda *args: subprocess.run(["git", *args], capture_output=True, text=True, cwd=HERE.parent, check=False).stdout.strip()  # noqa: E731
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", "python", "rust") else "")


def busy(seconds: float = 1.0) -> float:
    """The share of the machine that other programs take, from 0 to 1: above a few hundredths figures are rough."""

    def ticks() -> tuple[int, int]:
        numbers = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]

    total, idle = ticks()
    time.sleep(seconds)
    after, idle_after = ticks()
    return round(1 - (idle_after - idle) / max(after - total, 1), 2)


def settle(longest: float = 1.0) -> None:
    """Wait until no thread of this process runs any more: thread pools spin for a while after a call."""
    end = time.perf_counter() + longest
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(0.02)
        if time.process_time() - before < 0.002:
            return


def interleave(sides: Mapping[str, Callable[[], object]], repeats: int = 7, warm: int = 2, times: int = 1) -> dict[str, Seconds]:
    """Seconds of each side, run in turn; where one call does what is measured several ``times``, of one of these."""
    calls = {}
    for name, run in sides.items():
        for _ in range(warm):
            begin = time.perf_counter()
            run()
            took = time.perf_counter() - begin
        calls[name] = max(1, min(100, round(BURST / took)))
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            settle()
            begin = time.perf_counter()
            for _ in range(calls[name]):
                run()
            samples[name].append((time.perf_counter() - begin) / calls[name] / times)
    return {name: Seconds(s) for name, s in samples.items()}


def compare(case: str, times: Mapping[str, Seconds], ours: str = "neurenix", **of_sides: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of a case, one a side: milliseconds, quartiles, how many times ours it takes, and what else is known of each side."""
    rows = []
    for side, t in times.items():
        row = {"case": case, "side": side, "ms": 1e3 * t, "low ms": 1e3 * t.low, "high ms": 1e3 * t.high, "over ours": t / times[ours]}
        rows.append(row | {key: values[side] for key, values in of_sides.items() if side in values})
    return rows


def report(name: str, rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Print a table and write it with the machine to benches/results/NAME.json."""
    print(f"\n{name}: {about['processor']}, {about['threads']} threads, {about['level']}; commit {about['commit']}")
    print(
        f"limits: FMA {about['fma_gflops']} GFLOP/s, copy {about['copy_gbs']} GB/s; other programs took {about['busy']:.0%} of the machine"
    )
    keys = list(dict.fromkeys(k for row in rows for k in row))
    cells = [[_text(row.get(k, "")) for k in keys] for row in rows]
    widths = [max(len(k), *(len(c[i]) for c in cells)) for i, k in enumerate(keys)]
    words = [any(isinstance(row.get(k), str) for row in rows) for k in keys]
    for line in [keys, *cells]:
        print("  ".join(text.ljust(w) if word else text.rjust(w) for text, w, word in zip(line, widths, words, strict=True)).rstrip())
    RESULTS.mkdir(exist_ok=True, parents=True)
    rounded = [{k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": about, "rows": rounded}, indent=1) + "\n")


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
