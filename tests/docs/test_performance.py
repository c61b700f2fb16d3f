"""The benchmarks' arithmetic: ratios and goals, what counts as a peer, the page, the history. Nothing is timed."""

from __future__ import annotations

import json
import sys
import xml.dom.minidom
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benches"))
sys.path.append(str(ROOT / "docs" / "_hooks"))

import _goals  # noqa: E402
import _harness  # noqa: E402
import _peers  # noqa: E402
import page  # noqa: E402
import performance  # noqa: E402
import run as bench_run  # noqa: E402

WORK = "U-Net 64..512, 256x256, inference, over the best"
ABOUT = {
    "processor": "P",
    "threads": 2,
    "level": "avx512",
    "fma_gflops": 200.0,
    "copy_gbs": 30.0,
    "python": "3.11",
    "commit": "abc",
    "busy": 0.4,
}
ABOUT |= {"date": "2026-01-02 03:04", "versions": {"ncnn": "1.0"}}


def row(side: str, ms: float, **more: object) -> dict:
    case = "inference 64..512 256x256 b1"
    return {"case": case, "side": side, "ms": ms, "low ms": 0.9 * ms, "high ms": 1.1 * ms, "over ours": ms / 100.0} | more


def results() -> dict:
    inexact = [row("MNN", 90.0, error=2e-4), row("OpenVINO bfloat16", 80.0, error=1e-2)]
    unets = [row("neurenix", 100.0, error=1e-6), row("PyTorch", 400.0, error=1e-6), row("ncnn", 160.0, error=3e-6), *inexact]
    parts = {"forward": (10.0, 35.0, 30.0), "dx": (10.0, 20.0, 25.0), "dw": (20.0, 90.0, 100.0)}
    names = ("neurenix", "PyTorch", "PyTorch channels last")
    of_layers = [
        row(s, t) | {"case": "L", "kind": "wide", "part": p, "GFLOP/s": 1.0, "error": 0.0}
        for p, ts in parts.items()
        for s, t in zip(names, ts, strict=True)
    ]
    peak = {"case": "inference 64..512 512x512 b1", "side": "neurenix", "MB": 500.0}
    pools = [row(s, t) | {"case": "SPP 5, 9, 13, forward", "GB/s": 1.0, "of copy": 0.1} for s, t in (("neurenix", 1.0), ("OpenCV", 6.0))]
    adds = [
        row(s, t) | {"case": "add, forward", "GB/s": 30.0, "of copy": 0.9}
        for s, t in (("neurenix", 2.0), ("PyTorch", 9.0), ("PyTorch, out=", 3.0))
    ]
    return {"unet": unets, "conv": of_layers, "peaks": [peak], "memory": pools + adds}


def test_the_best_peer_is_the_fastest_exact_one():
    entry = _goals.reached(results())[WORK]
    assert (entry["value"], entry["beside"], entry["met"]) == (1.6, "ncnn", True)
    assert (entry["low"], entry["high"]) == (pytest.approx(1.6 * 9 / 11, rel=1e-3), pytest.approx(1.6 * 11 / 9, rel=1e-3))


def test_layers_take_a_peer_at_its_best_in_each_part():
    found = _goals.reached(results())
    assert found["3x3 layers of 64 to 1024 channels, forward, over PyTorch"]["value"] == 3.0
    assert found["3x3 layers of 64 to 1024 channels, with gradients, over PyTorch"]["value"] == (30 + 20 + 90) / 40


def test_operations_bound_by_memory_count_beside_given_memory_and_pools_apart():
    found = _goals.reached(results())
    assert found["operations bound by memory, over the best"]["value"] == 1.5
    assert found["stride-1 max pools and SPP, over the best"]["value"] == 6.0
    assert found["operations bound by memory, bytes a second of a copy's"] == {
        "goal": 0.85,
        "unit": "of copy",
        "value": 0.9,
        "low": 0.9,
        "high": 0.9,
        "met": True,
    }


def test_limits_are_not_passed_and_what_is_missing_is_not_met():
    found = _goals.reached(results())
    assert not found["peak memory, inference of 512x512"]["met"]
    assert "met" not in found["from process start to the import"]
    assert "value" not in _goals.reached({})[WORK]


def test_the_page_says_what_falls_short_and_keeps_every_run(tmp_path):
    for name, rows in results().items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"machine": ABOUT, "rows": rows}))
    for commit in ("abc", "def"):
        page.write(tmp_path, bench_run.record(tmp_path, ABOUT | {"commit": commit}), tmp_path / "page.md")
    assert [line["commit"] for line in page.history_in(tmp_path)] == ["abc", "def"]
    text = (tmp_path / "page.md").read_text()
    assert "| peak memory, inference of 512x512 | 500 MB |  | at most 480 MB | **falls short** |  |" in text
    assert f"| {WORK} | 1.6 | 1.31 to 1.96 | at least 1.5 | reached | ncnn |" in text
    assert "Other programs took 40% of the machine" in text
    assert "| ncnn (the best) | 160 | 144 to 176 | 1.60 | 3.0e-06 |" in text
    assert "| 2026-01-02 03:04 | def |" in text
    assert "| add, forward | 2 | 30 | 90% | – | 9 | 3 | 1.50 |" in text
    performance.make_all(tmp_path, tmp_path)
    bars = xml.dom.minidom.parse(str(tmp_path / "performance_ratios.svg"))
    assert len(bars.getElementsByTagName("rect")) == 1 + len(performance.measured(page.history_in(tmp_path)[-1]))
    assert len(xml.dom.minidom.parse(str(tmp_path / "performance_history.svg")).getElementsByTagName("circle")) == 2 * 2


def test_figures_of_another_processor_are_left_out(tmp_path):
    for name, rows in results().items():
        about = ABOUT | ({"processor": "another"} if name == "unet" else {})
        (tmp_path / f"{name}.json").write_text(json.dumps({"machine": about, "rows": rows}))
    found = bench_run.record(tmp_path, ABOUT)["goals"]
    assert "value" not in found[WORK] and "value" in found["operations bound by memory, over the best"]


def test_the_page_in_the_docs_is_the_last_run_of_the_history():
    last = page.history_in(ROOT / "benches" / "results")[-1]
    assert f"{last['date']} UTC, commit {last['commit']}." in page.PAGE.read_text()
    assert page.goals(last["goals"]) in page.PAGE.read_text()


def test_sides_run_in_turn_and_quartiles_stand_beside_the_median():
    order: list[str] = []
    found = _harness.interleave({side: lambda side=side: order.append(side) for side in "ab"}, repeats=3, warm=1)
    assert "".join(side for side, _ in groupby(order)) == "ab" * 4
    assert set(found) == {"a", "b"}
    seconds = _harness.Seconds([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (seconds, seconds.low, seconds.high) == (3.0, 2.0, 4.0)


def test_a_peer_that_fails_is_left_out_and_said_to_be(capsys):
    sides: dict = {}

    def missing() -> object:
        raise ModuleNotFoundError("No module named 'peer'", name="peer")

    _peers.try_side(sides, "Peer", missing)
    _peers.try_side(sides, "Other", lambda: lambda: 1 / 0)
    _peers.try_side(sides, "Third", lambda: lambda: 1)
    assert list(sides) == ["Third"]
    assert capsys.readouterr().out == "  left out: Peer: peer is not installed\n  left out: Other: ZeroDivisionError: division by zero\n"
