"""U-Nets beside what is installed of PyTorch (plain, compiled, in both memory orders) and of the engines: `python benches/unet.py`.

Inference beside all of them, with the same weights; errors are those of the logits against float64, relative to the logits' spread.
Training steps with Adam (fused in PyTorch) beside PyTorch, also under its bfloat16 autocast, which is no float32; ours under autocast in both.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from pathlib import Path

from _harness import compare, fair_environment, interleave, machine, report

fair_environment()

from _peers import torch_threads, versions  # noqa: E402
from _unets import CASES, Case, sides  # noqa: E402

import neurenix as nx  # noqa: E402


def measure(name: str, case: Case, repeats: int) -> list[dict]:
    """A case's rows."""
    torch_threads(nx.get_num_threads())
    with tempfile.TemporaryDirectory() as folder:
        found, errors = sides(case, Path(folder))
        return compare(name, interleave(found, repeats, warm=1), error=errors)


def main() -> None:
    """Run the chosen cases and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    about, rows = machine() | {"versions": versions()}, []
    for name, case in CASES.items():
        if args.only not in name or (case.train and case.batch == 2):
            continue
        print(name, flush=True)
        rows += measure(name, case, args.repeats)
        gc.collect()  # networks that refer to themselves
        nx.empty_cache()
    report("unet", rows, about)


if __name__ == "__main__":
    main()
