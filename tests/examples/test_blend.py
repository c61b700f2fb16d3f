"""The blend: no step at the seam, the detail kept, what it writes."""

import json

import numpy as np
import pytest

from neurenix.examples import blend
from neurenix.picture import read_picture


def test_the_spline_joins_without_a_step_and_keeps_the_detail():
    joined = blend.ways(*blend.halves())
    steps = {name: blend.step(p) for name, p in joined.items()}
    kept = {name: blend.detail(p) / blend.detail(joined["cut"]) for name, p in joined.items()}
    assert steps["cut"] > 50
    assert steps["spline"] < 1
    assert kept["cross-faded"] < 0.8
    assert 0.95 < kept["spline"] < 1.05


def test_an_image_joined_with_itself_is_itself():
    first, _ = blend.halves()
    mask = np.zeros_like(first)
    mask[..., :100] = 1
    assert np.abs(blend.spline(first, first, mask) - first).max() < 1e-3


def test_a_run_writes_everything_and_reports(tmp_path, capsys):
    pytest.importorskip("PIL")
    result = blend.main(["--out", str(tmp_path / "run")])
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    assert read_picture(tmp_path / "run" / "blend.png").shape == (528, 1304, 3)
    assert "spline:       step at the seam   0.3 grey values, 100% of the detail around it" in capsys.readouterr().out


def test_the_command_line_explains_itself(capsys):
    with pytest.raises(SystemExit, match="0"):
        blend.main(["--help"])
    with pytest.raises(SystemExit, match="2"):
        blend.main(["--levels", "33"])
    assert "--levels: expected 1 to 32, got 33" in capsys.readouterr().err
