"""``make fuzz``: random calls of kernels, model files and image files, for so many minutes; findings are kept in the corpus.

python tests/fuzz/run.py [--minutes 10] [--targets binding,files,images] [--seed N]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "oracle")]

from fuzz import worker  # noqa: E402

CORPUS = HERE / "corpus"
TARGETS = ("binding", "files", "images")
PATIENCE = 60.0  # seconds for one case


class Runner:
    """A worker process of one target, started again whenever a case kills it."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.seed = name, seed
        self.context = get_context("spawn")
        self.start()

    def start(self) -> None:
        """Start the process and wait until it can take cases."""
        self.link, other = self.context.Pipe()
        self.process = self.context.Process(target=worker.main, args=(self.name, self.seed, other), daemon=True)
        self.process.start()
        other.close()
        if not self.link.poll(300) or self.link.recv() != "ready":
            raise RuntimeError(f"the worker of {self.name} does not start")

    def run(self, wanted: int | bytes) -> tuple[bytes, str | None]:
        """Run one case: its bytes, and what went wrong."""
        case = b""
        try:
            self.link.send(wanted)
            case = self.link.recv()
            if self.link.poll(PATIENCE):
                return case, self.link.recv()
            trouble = f"no answer within {PATIENCE:.0f} seconds"
        except (EOFError, ConnectionError):
            self.process.join(10)
            trouble = f"the process died with status {self.process.exitcode}"
        self.stop()
        self.start()
        return case, trouble

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.link.close()


def corpus(name: str) -> list[Path]:
    """Cases that went wrong once."""
    return sorted(p for p in (CORPUS / name).glob("*") if p.suffix == ".case")


def keep(name: str, case: bytes, trouble: str) -> Path:
    """Write a finding into the corpus, with what went wrong beside it."""
    path = CORPUS / name / f"{hashlib.sha256(case).hexdigest()[:16]}.case"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case)
    path.with_suffix(".txt").write_text(trouble)
    return path


def search(name: str, seed: int, until: float, first: int = 0) -> Iterator[tuple[int, bytes, str | None]]:
    """Run the corpus, then case after case until a time."""
    runner = Runner(name, seed)
    try:
        for path in corpus(name):
            yield (-1, *runner.run(path.read_bytes()))
        number = first
        while time.monotonic() < until:
            yield (number, *runner.run(number))
            number += 1
    finally:
        runner.stop()


def fuzz(names: list[str], seconds: float, seed: int) -> int:
    """Give each target its share of the time; the number of findings."""
    findings = 0
    for name in names:
        begun = time.monotonic()
        shown, number = 0.0, 0
        seen: set[str] = set()
        for number, case, trouble in search(name, seed, begun + seconds / len(names)):
            last = (trouble or "").strip().rpartition("\n")[2]
            kind = re.sub(r"[0-9]+", "0", last)[:60]
            if trouble and kind not in seen:
                seen.add(kind)
                findings += 1
                print(f"\n{name}: case {number} of seed {seed}: {last}\n  kept as {keep(name, case, trouble)}", flush=True)
            if time.monotonic() - shown > 1:
                shown = time.monotonic()
                print(f"\r{name:8} {shown - begun:6.0f} s {number + 1:9,} cases {findings:4} findings", end="", flush=True)
        print(f"\r{name:8} {time.monotonic() - begun:6.0f} s {number + 1:9,} cases {findings:4} findings")
    return findings


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", "10")))
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    return 1 if fuzz(given.targets.split(","), given.minutes * 60, given.seed) else 0


if __name__ == "__main__":
    sys.exit(main())
