"""Everything that `make bench` measures, in one run of less than half an hour on two cores.

    make bench                          with peers in an environment of their own, build/peers, made on the first call (benches/peers.txt)
    make bench PEERS=path/to/python     beside the peers that this Python (3.11 or later, with NumPy) has
    make bench PEERS=none               ours alone, beside the machine's limits

    python benches/run.py --quick       every piece once, into build/bench: figures that mean nothing, in minutes
    python benches/run.py --only unet   some programs; the others' figures stay those of their last run

Each program is a process of its own and writes benches/results/NAME.json; the run adds a line to benches/results/history.jsonl and
writes docs/performance.md. A peer that is not installed is left out, and said to be. All sides of a U-Net stand in memory at once:
with every peer that takes 10 GB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from _harness import HERE, RESULTS, fair_environment, machine
from _peers import PEERS, installed, versions

PROGRAMS = ("imports", "conv", "unet", "memory", "memory_plan", "peaks", "augmentations")
QUICK = HERE.parent / "build" / "bench"


def run(program: str, repeats: int | None, folder: Path) -> float | None:
    """Seconds that a program took; None where it failed."""
    print(f"\n=== {program}", flush=True)
    command = [sys.executable, str(HERE / f"{program}.py"), *(["--repeats", str(repeats)] if repeats and takes_repeats(program) else [])]
    begin = time.perf_counter()
    done = subprocess.run(command, env=os.environ | {"NEURENIX_BENCH_RESULTS": str(folder)}, check=False)
    took = time.perf_counter() - begin
    print(f"=== {program}: {took:.0f} s" + (f", FAILED with {done.returncode}" if done.returncode else ""), flush=True)
    return None if done.returncode else took


def takes_repeats(program: str) -> bool:
    """Whether a program can be told how often to measure."""
    return "--repeats" in (HERE / f"{program}.py").read_text()


def record(folder: Path, about: dict) -> dict:
    """A line of the history: when, where, what beside what, every goal's number and the milliseconds of ours."""
    from _goals import OURS, reached
    from page import results_in

    results = results_in(folder, about)
    timed = [row for rows in results.values() for row in rows if row.get("side") == OURS and "ms" in row]
    ms = {" ".join(filter(None, (row["case"], row.get("part")))): row["ms"] for row in timed}
    return about | {"goals": reached(results), "ms": ms}


def main() -> int:
    """Run the programs, keep the history, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    parser.add_argument("--quick", action="store_true", help="measure once, into build/bench")
    options = parser.parse_args()
    begin, folder = time.perf_counter(), QUICK if options.quick else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    about = machine() | {"versions": versions()}
    print(
        f"{about['processor']}, {about['threads']} threads, {about['level']}; FMA {about['fma_gflops']} GFLOP/s, copy {about['copy_gbs']} GB/s"
    )
    print("beside " + (", ".join(f"{name} {version}" for name, version in about["versions"].items()) or "no peers"))
    print("left out, not installed: " + (", ".join(name for name, (module, _) in PEERS.items() if not installed(module)) or "none"))
    if about["busy"] > 0.05:
        print(f"other programs take {about['busy']:.0%} of this machine: the figures will be rough")
    there = [program for program in options.only if (HERE / f"{program}.py").exists()]
    took = {program: run(program, 1 if options.quick else None, folder) for program in there}
    about["seconds"] = {program: round(seconds) for program, seconds in took.items() if seconds is not None}
    from page import write

    write(folder, record(folder, about), QUICK / "performance.md" if options.quick else None)
    print(f"whole run: {(time.perf_counter() - begin) / 60:.1f} minutes")
    return int(None in took.values())


if __name__ == "__main__":
    fair_environment()
    sys.exit(main())
