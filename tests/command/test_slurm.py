"""Job scripts: those of the documentation are the ones that are printed and tested, and any value stays one word."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import neurenix as nx
from neurenix import png
from neurenix.command import main
from neurenix.command.slurm import KINDS, template
from neurenix.errors import ArgumentError
from neurenix.multiscale import UNet

SCRIPTS = Path(__file__).resolve().parents[2] / "docs" / "hpc"


def test_the_scripts_of_the_documentation_are_these() -> None:
    assert {p.name: p.read_text() for p in SCRIPTS.iterdir()} == {f"{kind}.sbatch": template(kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_filled_in_reaches_the_command_as_it_is(kind: str, tmp_path: Path) -> None:
    """Run by bash, with a ``srun`` that prints its words."""
    odd = "my $HOME; 'images'"
    script = template(kind, images=odd, run=f"{tmp_path}/run", options=["--features", "4", "a b"])
    (tmp_path / "srun").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\nexit 75\n')
    (tmp_path / "scontrol").write_text('#!/bin/bash\necho "scontrol $*"\n')
    for name in ("srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.nx").touch()
    variables = {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "2"}
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **variables}
    done = subprocess.run(["bash", "-u"], input=script, capture_output=True, text=True, check=False, env=environment)
    words = done.stdout.splitlines()
    assert done.returncode == 75, done.stderr
    assert words[-1] == ("scontrol requeue 7_3" if kind == "predict" else "scontrol requeue 7")
    assert odd in words
    assert "--resume" in words
    assert words[words.index("--features") :][:3] == ["--features", "4", "a b"]
    assert ("3/8" in words) == (kind == "predict")


def test_a_plan_fills_in_a_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nx.save(UNet(1, 1, [4]).eval(), tmp_path / "model.nx")
    (tmp_path / "a.png").write_bytes(png.encode(nx.zeros(80, 80).numpy().astype("uint8")))
    plan = ["plan", str(tmp_path / "model.nx"), str(tmp_path / "a.png")]
    assert main([*plan, "--slurm", "predict", "--parts", "5", "--tile", "128", "--threads", "1"]) == 0
    script = capsys.readouterr().out
    assert "#SBATCH --array=1-5\n" in script
    assert "#SBATCH --cpus-per-task=1\n" in script
    assert "#SBATCH --time=00:1" in script
    assert f"command=(neurenix predict {tmp_path}/model.nx {tmp_path}/a.png --out found" in script
    assert '--part "$SLURM_ARRAY_TASK_ID/5" --resume --tile 128)' in script
    assert main(["plan", "--slurm", "mpi"]) == 0
    assert capsys.readouterr().out == template("mpi")
    assert main(["plan", "--json"]) == 1
    assert "expected a model and images" in capsys.readouterr().err


def test_unknown_values_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"got 'array' and \['hours'\]"):
        template("array", hours=3)
