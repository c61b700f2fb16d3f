"""Steps of training on one rank and on two, a thread each: `python benches/ranks.py`, on a machine with two idle cores.

The batch and its shards stay the same, so two ranks should take half the time. "apart" are two processes at once with half of the
batch each and no word between them: what they lose beside half of one rank's time is the machine's doing (memory, clock), what two ranks
lose beside them is ours.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from _harness import Seconds, compare, machine, report

BATCH, SHARDS, SIDE = 8, 4, 256
MPIEXEC = Path(sys.executable).with_name("mpiexec")


def steps(batch: int, shards_of_a_batch: int, number: int) -> list[float]:
    """Seconds of each step of a U-Net of 16 to 128 channels, after two to warm up."""
    import numpy as np

    import neurenix as nx
    from neurenix.multiscale import UNet
    from neurenix.parallel import Shards, ranks

    nx.set_num_threads(1)
    nx.manual_seed(0)
    here = ranks()
    model, shards = UNet(1, 1, [16, 32, 64, 128]), Shards(shards_of_a_batch, here)
    optimizer = nx.optim.AdamW(model.parameters(), lr=1e-3)
    criterion = nx.nn.CombinedLoss(nx.nn.BCELoss(), nx.nn.DiceLoss())
    own = batch // here.size
    x = np.random.default_rng(0).random((batch, 1, SIDE, SIDE), np.float32)[here.rank * own : (here.rank + 1) * own]
    images, masks = nx.tensor(x), nx.tensor((x > 0.5).astype(np.float32))
    found = []
    for _ in range(number + 2):
        here.gather(None)
        begin = time.perf_counter()
        shards.backward(model, criterion, images, masks)
        optimizer.step()
        found.append(time.perf_counter() - begin)
    if here.rank == 0:
        print(*found[2:])
    return found


def started(size: int, *words: str) -> subprocess.Popen[str]:
    """This program on some ranks, told what to do."""
    launch = [str(MPIEXEC), "-n", str(size)] if size > 1 else []
    return subprocess.Popen([*launch, sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True, env=os.environ)


def seconds(job: subprocess.Popen[str]) -> list[float]:
    """What it measured."""
    out, _ = job.communicate()
    if job.returncode:
        raise SystemExit(f"a job ended with {job.returncode}")
    return [float(word) for word in out.split()]


def main() -> None:
    """Run the sides in turn and report medians of all their steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="steps a repeat")
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--shards", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.batch:
        steps(given.batch, given.shards, given.steps)
        return
    number = ["--steps", str(given.steps)]
    whole, half = (["--batch", str(BATCH // n), "--shards", str(SHARDS // n), *number] for n in (1, 2))
    samples: dict[str, list[float]] = {"1 rank": [], "2 ranks": [], "2 apart": []}
    for _ in range(given.repeats):
        samples["1 rank"] += seconds(started(1, *whole))
        samples["2 ranks"] += seconds(started(2, *whole))
        both = [started(1, *half), started(1, *half)]
        samples["2 apart"] += [t for job in both for t in seconds(job)]
    times = {side: Seconds(found) for side, found in samples.items()}
    of_half = {side: times["1 rank"] / 2 / t for side, t in times.items() if side != "1 rank"}
    rows = compare(f"step of {BATCH} x {SIDE} x {SIDE} in {SHARDS} shards", times, "1 rank", **{"of half the time": of_half})
    report("ranks", rows, machine() | {"threads": "1 thread a rank"})


if __name__ == "__main__":
    main()
