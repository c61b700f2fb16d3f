"""Peak memory of the 31M U-Net beside the peers, each in a process of its own: `python benches/peaks.py`.

Inference of 512x512 and a training step of two images of 256x256. The figure is the most memory that the process held (VmHWM) from its
start on, after three runs, in millions of bytes: libraries and weights included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _engines import ENGINES
from _harness import HERE, fair_environment, machine, report

INFERENCE, TRAINING = "inference 64..512 512x512 b1", "training 64..512 256x256 b2"
TORCH = ("PyTorch", "PyTorch, channels last", "PyTorch compiled, channels last")
CASES = {INFERENCE: ("neurenix", *TORCH, *ENGINES), TRAINING: ("neurenix", *TORCH, "PyTorch bfloat16, channels last")}
RUNS = 3


def held() -> float:
    """The most memory that this process held, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def run(case: str, side: str, path: Path, threads: int) -> None:
    """Run one side here, and nothing else."""
    if side in ENGINES:
        import numpy as np

        size = int(case.split()[2].partition("x")[0])
        step: Any = ENGINES[side](path, np.random.default_rng(0).random((1, 3, size, size), dtype=np.float32), threads)
    elif side == "neurenix":
        from _unets import CASES, our_unet, ours

        step = ours(CASES[case], our_unet(CASES[case].features))
    else:
        import torch
        from _peers import torch_unet
        from _unets import CASES, torchs

        torch.set_num_threads(threads)
        step = torchs(CASES[case], torch_unet(CASES[case].features, final=False), side)
    for _ in range(RUNS):
        step()
    print(f"{held():.1f}")


def write(case: str, path: Path) -> None:
    """Write the network of a case for the engines, and what they convert it to, so that no measured process converts."""
    from _engines import by_mnn, by_ncnn
    from _peers import attempt, torch_unet, write_unet
    from _unets import CASES

    x = CASES[case].arrays()[0]
    write_unet(path, torch_unet(CASES[case].features, final=False), x)
    for name, engine in (("ncnn", by_ncnn), ("MNN", by_mnn)):
        attempt(name, lambda engine=engine: engine(path, x, 1))


def child(*given: Any) -> str:
    """What this program prints when it is started with these arguments; empty, with a line that says why, where it fails."""
    command = [sys.executable, str(HERE / "peaks.py"), *map(str, given)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        print(f"  left out: {given[1]}: {last[:160]}", flush=True)
        return ""
    return done.stdout.strip()


def main() -> None:
    """Measure every side in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--repeats", help="not used: a peak is the same every time")
    parser.add_argument("child", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        case, side, path, threads = options.child
        write(case, Path(path)) if side == "write" else run(case, side, Path(path), int(threads))
        return
    about, rows = machine(), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "unet.onnx"
        for case, sides in CASES.items():
            if options.only not in case:
                continue
            wrote = case != INFERENCE or (child(case, "write", path, 1) == "" and path.exists())
            for side in sides:
                if side in ENGINES and not wrote:
                    continue
                found = child(case, side, path, about["threads"])
                rows += [{"case": case, "side": side, "MB": float(found.splitlines()[-1])}] if found else []
                print(f"  {case}: {side}: {found.splitlines()[-1:]}", flush=True)
    report("peaks", rows, about)


if __name__ == "__main__":
    fair_environment()
    main()
