"""Time from process start to an import, and to a first small result, and the memory held then: `python benches/imports.py`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _harness import HERE, Seconds, compare, fair_environment, machine, report

fair_environment()

import numpy as np  # noqa: E402
from _peers import attempt, versions, write_layers  # noqa: E402

FIRST_OURS = """
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
FIRST_ENGINE = """
import sys; sys.path.insert(0, {folder!r})
from pathlib import Path
import numpy as np
from _engines import {engine}
{engine}(Path({path!r}), np.zeros((1, 16, 32, 32), np.float32), 2)()
"""
ENGINES = {"ONNX Runtime": "by_onnx_runtime", "OpenVINO": "by_openvino", "ncnn": "by_ncnn", "MNN": "by_mnn"}
IMPORTS = {
    "nothing": "pass",
    "NumPy": "import numpy",
    "neurenix": "import neurenix",
    "PyTorch": "import torch",
    "ONNX Runtime": "import onnxruntime",
    "OpenVINO": "import openvino",
}
HELD = "\nprint(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"


def one(program: str) -> tuple[float, float] | None:
    """Seconds and MB of a fresh interpreter, or None where a module is missing."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program + HELD], capture_output=True, text=True, check=False)
    took = time.perf_counter() - begin
    return (took, int(done.stdout.split()[-1]) * 1024 / 1e6) if done.returncode == 0 else None


def measured(case: str, programs: dict[str, str], repeats: int) -> list[dict]:
    """Rows of programs that are run in turn; those that fail are left out."""
    found: dict[str, list[tuple[float, float]]] = {}
    there = {side: text for side, text in programs.items() if one(text) is not None}
    for side in programs.keys() - there.keys():
        print(f"  left out: {side}: not installed, or it fails")
    for _ in range(repeats):
        for side, text in there.items():
            result = one(text)
            if result is not None:
                found.setdefault(side, []).append(result)
    times = {side: Seconds([seconds for seconds, _ in samples]) for side, samples in found.items()}
    return compare(case, times, MB={side: max(mb for _, mb in samples) for side, samples in found.items()})


def main() -> None:
    """Run the programs in turn and report medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.onnx"
        first = {"neurenix": FIRST_OURS, "PyTorch": FIRST_TORCH}
        if attempt("engines", lambda: write_layers(path, np.zeros((1, 16, 32, 32), "f4"), np.zeros((16, 16, 3, 3), "f4"), 1)):
            first |= {side: FIRST_ENGINE.format(folder=str(HERE), engine=name, path=str(path)) for side, name in ENGINES.items()}
        rows = measured("import", IMPORTS, repeats) + measured("first small result", first, repeats)
    report("imports", rows, machine() | {"versions": versions()})


if __name__ == "__main__":
    main()
