"""Time from process start to an import, and to a first small result: `python benches/imports.py`."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from _harness import fair_environment, machine, report

fair_environment()

FIRST_RESULT = """
import numpy as np, neurenix as nx
from neurenix.multiscale import UNet
with nx.no_grad():
    UNet(3, 1, [8, 16])(np.zeros((1, 3, 32, 32), np.float32))
"""
FIRST_TORCH = """
import numpy as np, torch
with torch.inference_mode():
    torch.nn.Conv2d(3, 8, 3, padding=1)(torch.zeros(1, 3, 32, 32))
"""
PROGRAMS = {
    "nothing": "pass",
    "import numpy": "import numpy",
    "import neurenix": "import neurenix",
    "neurenix, first result": FIRST_RESULT,
    "import torch": "import torch",
    "torch, first result": FIRST_TORCH,
}


def seconds(program: str) -> float | None:
    """Wall time of a fresh interpreter, or None where a module is missing."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    return time.perf_counter() - begin if done.returncode == 0 else None


def main() -> None:
    """Run the programs in turn and report medians."""
    times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(9):
        for name, program in PROGRAMS.items():
            t = seconds(program)
            if t is not None:
                times[name].append(t)
    rows = [{"program": name, "median s": statistics.median(t), "best s": min(t)} for name, t in times.items() if t]
    report("imports", rows, machine())


if __name__ == "__main__":
    main()
