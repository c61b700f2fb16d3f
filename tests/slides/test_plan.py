"""A plan: the largest tile that fits, the work that is really done, before it begins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import autograd, nn
from neurenix.command import main
from neurenix.errors import ArgumentError, OutOfMemoryError, ShapeError
from neurenix.inference import evaluating
from neurenix.multiscale import UNet, predict_tiled
from neurenix.nn.summary import products
from neurenix.passes import passes_of
from neurenix.slides import Settings, ledger, planning, predict_file
from neurenix.slides.job import work_folder
from neurenix.slides.strips import tiles
from neurenix.slides.tile_plan import memory_bytes

MIB = 1 << 20
pytestmark = pytest.mark.alone


@pytest.mark.parametrize("precision", ["ieee", "fast"])
def test_more_memory_means_larger_tiles_and_less_work(precision: str) -> None:
    model = UNet(3, 1, [16, 32])
    with nx.set_float32_precision(precision):
        least = model.plan((9000, 11000), tile=(64, 64), measure=False).memory
        plans = [model.plan((9000, 11000), least + more * MIB, measure=False) for more in (20, 100, 400)]
    for found, more in zip(plans, (20, 100, 400), strict=True):
        assert least <= found.memory <= least + (more + 8) * MIB
        assert found.tile[0] % 64 == found.tile[1] % 64 == 0
        assert found.tiles == -(-9000 // found.tile[0]) * -(-11000 // found.tile[1])
        assert found.seconds is None
    areas, overheads = [p.tile[0] * p.tile[1] for p in plans], [p.overhead for p in plans]
    assert areas == sorted(areas)
    assert overheads == sorted(overheads, reverse=True)
    assert 1 <= overheads[-1] < 1.1
    assert plans[-1].memory - plans[0].memory > 200 * MIB


@pytest.mark.parametrize(("precision", "most"), [("ieee", 1.15), ("fast", 1.25)])
def test_the_model_of_31_million_parameters_computes_little_twice(precision: str, most: float) -> None:
    model = UNet(3, 1, [64, 128, 256, 512])
    assert 31e6 < model.num_parameters() < 32e6
    with nx.set_float32_precision(precision):
        assert 1 < model.plan((8192, 8192), tile=1024, measure=False).overhead < most


@pytest.mark.parametrize("tile", [(64, 64), (128, 256), (64, 1024)])
def test_the_work_is_that_which_is_done(tile: tuple[int, int]) -> None:
    model, done = UNet(1, 1, [4, 8]).eval(), []
    x = np.zeros((1, 1, 1000, 700), np.float32)
    with autograd.watched(lambda op, data, inputs: done.append(products(op, data.shape, inputs))):
        predict_tiled(model, x, tile=tile)
        tiled = sum(done)
        done.clear()
        model.receptive_field()
        tiled -= sum(done)
        done.clear()
        with nx.no_grad():
            model(nx.tensor(x))
    found = model.plan((1000, 700), tile=tile, measure=False)
    assert found.multiply_adds == pytest.approx(tiled / 2, rel=0.03)  # every strip is followed once and computed once
    assert found.overhead == pytest.approx(found.multiply_adds / sum(done), rel=0.01)


@pytest.mark.parametrize(("tile", "like_the_others"), [((64, 256), False), ((512, 256), True)])
def test_a_run_that_goes_on_within_a_column_takes_no_more_than_its_plan(tile: tuple[int, int], like_the_others: bool) -> None:
    """What its first tile depends on above it is read as a strip of its own; where that is more than a tile it is planned."""
    model, image, size = UNet(1, 2, [8, 16, 32, 64]).eval(), nx.rand((1, 1, 2600, 200)), (2600, 200)
    weights = sum(t._array.nbytes for t in (*model.parameters(), *model.buffers()))
    with evaluating(model), autograd.no_grad():
        trial = planning._Trial(model, (1, *size), passes_of(model, 1), np.dtype(np.float32), 0)
        one, grid = trial._passes[0], trial.grid(tile)
        assert (grid.tile[0] >= one.field.before[0]) is like_the_others
        peaks = []
        for first in (0, 1, 4, grid.down - 1):
            nx.empty_cache()
            nx.reset_peak()
            made = dict(tiles(one, (), lambda rows, columns: image[:, :, rows, columns], grid, range(first, min(first + 3, grid.down))))
            assert set(made) == set(range(first, min(first + 3, grid.down)))
            peaks.append(nx.memory_stats()["peak"])
        assert max(peaks) <= trial._column(0, grid, 0)[0] + weights + image._array.nbytes
    assert (peaks[0] == max(peaks)) is like_the_others


def test_a_job_takes_the_tile_that_fits_and_its_parts_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((700, 900), np.uint8))
    model, out = UNet(1, 1, [4, 8]), {"mask": tmp_path / "a.png"}
    least = model.plan((700, 900), tile=(64, 64), measure=False).memory
    assert predict_file(model, tmp_path / "a.npy", out, Settings(memory=least + 30 * MIB), lambda: True) == "stopped"
    begun = ledger.begun_with(work_folder(out) / "job.json").tile
    assert begun is not None
    assert begun[0] % 64 == begun[1] % 64 == 0
    assert predict_file(model, tmp_path / "a.npy", out, Settings(memory=1 << 40, resume=True)) == "written"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", np.zeros((700, 900), np.uint8))
    nx.save(UNet(1, 1, [4]), tmp_path / "model.nx")
    assert main(["plan", str(tmp_path / "model.nx"), str(tmp_path / "a.npy"), "--memory", "2GB", "--parts", "4"]) == 0
    said = capsys.readouterr().out
    assert "700 x 900, 1 channels" in said
    assert "times the whole image's" in said
    assert "in 4 parts" in said
    assert main(["plan", str(tmp_path / "model.nx"), str(tmp_path / "a.npy"), "--tile", "128", "256", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"][0]["tile"] == [128, 256]
    assert found["seconds"] > 0
    assert main(["plan", str(tmp_path / "model.nx"), str(tmp_path / "a.npy"), "--memory", "1MB"]) == 1
    assert "expected memory for a tile of 64 pixels, got 1 MiB where it takes" in capsys.readouterr().err


def test_misuse() -> None:
    model = UNet(1, 1, [4])
    assert [memory_bytes(t) for t in ("1GB", "1.5 GiB", "100", 7, "2k")] == [10**9, 3 * 2**29, 100, 7, 2000]
    for call, error, text in (
        (lambda: model.plan((1, 2, 3, 4)), ShapeError, r"expected an image's shape"),
        (lambda: model.plan((0, 5)), ArgumentError, "rows"),
        (lambda: model.plan((50, 50), "lots"), ArgumentError, "expected memory such as '1GB'"),
        (lambda: model.plan((50, 50), "1GB", tile=64), ArgumentError, "got both"),
        (lambda: model.plan((50, 50), 1000), OutOfMemoryError, "allow more"),
        (lambda: nn.Upsample(scale_factor=2).plan((3, 50, 50)), ArgumentError, "scales it by 2"),
    ):
        with pytest.raises(error, match=text):
            call()
