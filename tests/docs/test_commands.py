"""The documentation's commands run: each line of a page's ``text`` blocks that begins with a command, from top to bottom, in one folder.

Each is a process of its own, in a shell, as a reader types it. Runs of training get fewer steps and a small network; nothing else is changed.
The pages' blocks of Python run in ``test_code_blocks.py``; here those run that save what commands read.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command.runs import make_folders

import neurenix as nx
from neurenix import png

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(python|text|bash)\n(.*?)^```$", re.M | re.S)
SMALL = ["--features", "4", "8", "--crop", "32", "--looks", "2", "--steps", "12"]
DOCTOR = "neurenix doctor"  # which may find something wrong with this machine
ELSEWHERE = ("pip ", "sbatch ")  # the latter under a real SLURM: tests/slurm
GIVEN = {"PBS_O_WORKDIR": ".", "PBS_ARRAY_INDEX": "1", "LSB_JOBINDEX": "2"}
PAGES = {"command_line.md": 11, "large_images.md": 8, "cluster.md": 5}  # and how many commands there are at least


def lines_of(page: Path) -> list[tuple[str, str]]:
    """What a reader runs, in order: ("python", a block) or ("text", a line)."""
    found = []
    for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        found += [(kind, body)] if kind == "python" else [("text", line) for line in body.splitlines()]
    return found


def in_shell(line: str) -> str:
    """A line as the test runs it."""
    words = shlex.split(line)
    return f"{line} {shlex.join(SMALL)}" if "train" in words and "--config" not in words and "plan" not in words else line


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the pages have it: images, masks, others to judge by, slides; ``neurenix`` is this package's."""
    images, masks = make_folders(tmp_path / "made", 6)
    for name, source in {"images": images, "masks": masks, "test_images": images, "test_masks": masks, "slides": images}.items():
        shutil.copytree(source, tmp_path / name)
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "neurenix"
    command.write_text(f'#!/bin/bash\nexec {shlex.quote(sys.executable)} -W ignore::UserWarning -m neurenix "$@"\n')
    command.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(nx.__file__).parents[1]))
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_commands_run_as_written(page: str, place: Path) -> None:
    if page == "cluster.md":  # which begins where the first page ends
        nx.manual_seed(0)
        (place / "run").mkdir()
        nx.save(nx.multiscale.UNet(1, 1, [4]).eval(), place / "run" / "best.nx")
    if page == "command_line.md":
        pytest.importorskip("onnxruntime")
        (place / "a.tif").write_bytes(b"")
        nx_tiff = pytest.importorskip("tifffile")
        nx_tiff.imwrite(place / "a.tif", np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8))
    namespace: dict[str, object] = {"__name__": "__main__"}
    saved = ran = 0
    for kind, text in lines_of(ROOT / "docs" / page):
        if kind == "python":
            if page == "large_images.md" and ("nx.save(" in text or not saved):
                exec(text, namespace)
                saved += "nx.save(" in text
        elif not text.startswith(("#", "cd ", *ELSEWHERE)) and text:
            line = in_shell(text)
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
            assert done.returncode == 0 or line == DOCTOR, f"{line}\n{done.stdout}{done.stderr}"
            ran += 1
    assert ran >= PAGES[page]
    if page == "large_images.md":
        assert (place / "found" / "slide.png").read_bytes() == (place / "parts" / "slide.png").read_bytes()


def test_examples_of_help_run(place: Path) -> None:
    """In the order in which a reader would type them."""
    run = {}
    for command in ("train", "predict", "plan", "eval", "export", "info", "doctor"):
        said = subprocess.run(
            ["neurenix", command, "--help"], capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"}
        )
        (run[command],) = [line.partition(": ")[2] for line in said.stdout.splitlines() if line.startswith("example: ")]
    (place / "slides" / "large.png").write_bytes(png.encode(np.random.default_rng(0).integers(0, 256, (1100, 90), np.uint8)))
    for command, line in run.items():
        assert line.startswith(f"neurenix {command}")
        done = subprocess.run(["bash", "-c", in_shell(line)], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or line == DOCTOR, f"{line}\n{done.stdout}{done.stderr}"
    assert {"run", "found", "scores.csv", "report.html", "nuclei.onnx"} <= {p.name for p in place.iterdir()}
