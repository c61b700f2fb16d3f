"""What every benchmark shares: the machine's limits, interleaved timing, a table and a file of results.

Sides run in turn (A B A B ...) in one process with a pause between them, so that drift of a shared machine hits all alike, and a
side's thread pool goes to sleep before the other starts. Medians are reported.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
# Other libraries' threads must sleep between calls, not spin on a core that the next side needs.
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
# Workarounds of some machines for old BLAS builds; they slow a current one, so a peer runs without them.
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def fair_environment() -> None:
    """Start this program again with the settings that are fair to every side."""
    if all(os.environ.get(k) == v for k, v in PASSIVE.items()) and not any(k in os.environ for k in UNSET):
        return
    environment = {k: v for k, v in os.environ.items() if k not in UNSET} | PASSIVE
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def machine() -> dict:
    """The machine, the code's commit, and the two limits that figures are to be read against."""
    from neurenix import _rust

    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?"
    )
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = (
        os.environ.get("NEURENIX_COMMIT")
        or subprocess.run(  # an unpacked archive has no repository
            git, capture_output=True, text=True, cwd=Path(__file__).parent, check=False
        ).stdout.strip()
    )
    return {
        "processor": model,
        "level": _rust.level(),
        "threads": _rust.num_threads(),
        "python": platform.python_version(),
        "commit": commit,
        "fma_gflops": round(_rust.fma_peak(), 1),
        "copy_gbs": round(_rust.copy_bandwidth(), 1),
    }


def interleave(sides: dict[str, Callable[[], object]], repeats: int = 7, pause: float = 0.05, warm: int = 2) -> dict[str, float]:
    """Median seconds of each side, run in turn."""
    for run in sides.values():
        for _ in range(warm):
            run()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, run in sides.items():
            time.sleep(pause)
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(t) for name, t in times.items()}


def report(name: str, rows: list[dict], about: dict) -> None:
    """Print a table and write it with the machine to benches/results/NAME.json."""
    print(f"\n{name}: {about['processor']}, {about['threads']} threads, {about['level']}; commit {about['commit']}")
    print(f"limits: FMA {about['fma_gflops']} GFLOP/s, copy {about['copy_gbs']} GB/s")
    keys = list(dict.fromkeys(k for row in rows for k in row))
    cells = [[_text(row.get(k, "")) for k in keys] for row in rows]
    widths = [max(len(k), *(len(c[i]) for c in cells)) for i, k in enumerate(keys)]
    for line in [keys, *cells]:
        print("  ".join(text.rjust(w) if i else text.ljust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True))))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": about, "rows": rows}, indent=1) + "\n")


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
