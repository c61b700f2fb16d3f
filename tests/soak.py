"""Training that is killed and resumed for a long time, under a limit of memory, ends with the bits of a run that was left alone.

``python tests/soak.py --minutes 30``. Images are windows of the bundled picture of nuclei. Every process may have so many bytes of data (the
system refuses more); signals come at random moments, also while a process starts or saves. Status 1 if anything differs or fails.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from neurenix import png
from neurenix.examples.shared import load_nuclei
from neurenix.memory import held_by_process

ROOT = Path(__file__).resolve().parents[1]
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)
IMAGES, SIDE = 24, 160
LEAST = 5  # signals
COMPARED = ("best.nx", "last.nx", "validation.png")


def make_images(folder: Path, seed: int) -> None:
    """Windows of the picture, turned, darkened and noisy, and the nuclei in them."""
    image, labels = load_nuclei()
    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(IMAGES):
        top, left = (int(rng.integers(0, n - SIDE)) for n in image.shape[:2])
        window = np.s_[top : top + SIDE, left : left + SIDE]
        turns = int(rng.integers(4))
        pixels, mask = (np.ascontiguousarray(np.rot90(a[window], turns)) for a in (image, np.where(labels > 0, 255, 0).astype(np.uint8)))
        pixels = np.clip(pixels * rng.uniform(0.6, 1.1) + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
        (folder / "images" / f"{number:02d}.png").write_bytes(png.encode(pixels))
        (folder / "masks" / f"{number:02d}.png").write_bytes(png.encode(mask))


class Soak:
    """A command that is run again and again, and what is counted of that.

    Parameters
    ----------
    folder : path
        Of images, runs and what they say.
    limit : int
        Bytes of data that a process may have.
    rng : random.Random
    """

    def __init__(self, folder: Path, limit: int, rng: random.Random) -> None:
        self.folder, self.limit, self.rng = folder, limit, rng
        self.rounds, self.peak = 0, 0
        self.sent: Counter[str] = Counter()

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A process under the limit."""
        environment = os.environ | {"PYTHONPATH": str(ROOT / "python")}
        with (self.folder / "said.txt").open("wb") as said:
            return subprocess.Popen(
                [sys.executable, *command],
                env=environment,
                stdout=said,
                stderr=said,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (self.limit, self.limit)),  # noqa: PLW1509  # no threads here
            )

    def require_limit(self) -> None:
        """Refuse to begin where the system does not enforce the limit."""
        taken = self.start("-c", f"import numpy; numpy.ones({self.limit // 8 + 1})").wait()
        text = (self.folder / "said.txt").read_text()
        if taken == 0 or "MemoryError" not in text:
            raise SystemExit(f"soak: expected a process that takes {self.limit} bytes to be refused, got status {taken}: {text}")

    def train(self, run: Path, steps: int, looks: int, stop_after: float | None = None) -> int:
        """One process of a run, which gets a signal after so many seconds; its status."""
        words = ["-m", "neurenix", "train", str(self.folder / "images"), str(self.folder / "masks"), "--out", str(run)]
        words += ["--steps", str(steps), "--looks", str(looks), "--features", "8", "16", "32", "--crop", "96"]
        child = self.start(*words, *(["--resume"] if (run / "last.nx").exists() else []))
        self.rounds += 1
        begun, sent = time.monotonic(), None
        while child.poll() is None:
            self.peak = max(self.peak, held_by_process(child.pid, most=True))
            if sent is None and stop_after is not None and time.monotonic() - begun > stop_after:
                sent = self.rng.choice(SIGNALS)
                child.send_signal(sent)
                self.sent[sent.name] += 1
            time.sleep(0.02)
        # A signal that comes before the command listens ends the process by itself.
        if child.returncode not in (0, *((75, -sent) if sent else ())):
            raise SystemExit(f"soak: status {child.returncode} in round {self.rounds}:\n{(self.folder / 'said.txt').read_text()}")
        return child.returncode

    def goes_on(self, end: float) -> bool:
        """Whether there are signals to send: until the time is over, and a few on a slow machine."""
        return time.monotonic() < end or sum(self.sent.values()) < LEAST


def digests(run: Path) -> dict[str, str]:
    """Of what a run leaves; of its log without the seconds."""
    found = {name: hashlib.sha256((run / name).read_bytes()).hexdigest()[:16] for name in COMPARED}
    with (run / "log.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return found | {"log.csv": hashlib.sha256(repr(rows).encode()).hexdigest()[:16]}


def calibrated(soak: Soak) -> tuple[float, float]:
    """Seconds of a step, and of a process before its first one."""
    begun = time.monotonic()
    soak.train(soak.folder / "calibration", 20, 2)
    took = time.monotonic() - begun
    with (soak.folder / "calibration" / "log.csv").open(newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    return max((seconds[-1] - seconds[0]) / 10, 1e-3), max(took - seconds[-1], 0.5)


def soaked(soak: Soak, end: float) -> None:
    """Straight once, then killed and resumed until the time is over."""
    step, start = calibrated(soak)
    steps = max(20, int(0.3 * (end - time.monotonic()) / step))
    looks = min(40, steps // 5)
    begun = time.monotonic()
    soak.train(soak.folder / "straight", steps, looks)
    took, expected = time.monotonic() - begun, digests(soak.folder / "straight")
    longest = min(start + 3 * steps * step / looks, 0.7 * took)  # before a signal: some looks, after each of which a run is saved
    print(f"straight: {steps} steps, {took:.0f} s, {expected}", flush=True)
    for number in range(1, 1000):
        run = soak.folder / f"soaked-{number}"
        while soak.train(run, steps, looks, soak.rng.uniform(0, longest) if soak.goes_on(end) else None):
            print(f"round {soak.rounds}, signals {dict(soak.sent)}, peak {soak.peak / 1e6:.0f} MB", flush=True)
        found = digests(run)
        print(f"run {number}: {found}", flush=True)
        if found != expected:
            raise SystemExit(f"soak: expected the files of the straight run, got others; see {soak.folder}")
        shutil.rmtree(run)
        if not soak.goes_on(end):
            return


def main() -> None:
    """Run, print, and clean up where all was well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--memory", type=int, default=500, help="megabytes of data of a process (500)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"seed {args.seed}, {args.memory} MB, {folder}", flush=True)
    soak = Soak(folder, args.memory * 10**6, random.Random(args.seed))
    end = time.monotonic() + 60 * args.minutes
    make_images(folder, args.seed)
    soak.require_limit()
    soaked(soak, end)
    kills = sum(soak.sent.values())
    print(f"equal: {soak.rounds} rounds, {kills} signals {dict(soak.sent)}, peak {soak.peak / 1e6:.0f} MB of {args.memory}", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
