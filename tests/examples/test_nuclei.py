import json

import numpy as np
import pytest

import neurenix as nx
from neurenix.examples import nuclei, nuclei_instances, shared
from neurenix.picture import read_picture

pytest.importorskip("PIL")
short = pytest.mark.filterwarnings("ignore:BatchNorm2d. expected running statistics of 10 batches")


@short
def test_a_short_run_writes_everything_and_reports(tmp_path, capsys):
    result = nuclei.main(["--out", str(tmp_path / "run"), "--steps", "2", "--seed", "1"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"held-out IoU: {result['iou']:.3f}"
    assert "0.703" in printed[1]
    assert "0.788" in printed[2]
    assert "0.904" in printed[3]
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    assert result["steps"] == 2
    assert read_picture(tmp_path / "run" / "nuclei.png").shape == (1040, 1378, 3)
    assert read_picture(tmp_path / "run" / "loss.png").shape == (320, 640, 3)
    image, _ = shared.load_nuclei()
    model = nx.load(tmp_path / "run" / "model.nx")
    assert nx.predict(model, image[shared.HELD_OUT]).shape == (512, 170)
    assert not any(name.startswith("input") for name in model.state_dict())


@short
def test_a_short_run_of_instances(tmp_path, capsys):
    result = nuclei_instances.main(["--out", str(tmp_path), "--steps", "1"])
    printed = capsys.readouterr().out
    assert printed.startswith("held-out panoptic quality: ")
    assert f"{result['true_count']} there" in printed
    assert round(result["otsu"], 2) == 0.49
    assert {p.name for p in tmp_path.iterdir()} == {"model.nx", "instances.png", "loss.png", "result.json"}


@pytest.mark.parametrize("main", [nuclei.main, nuclei_instances.main])
def test_the_command_line_explains_itself(main, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "--seed" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["--steps", "0"])
    assert "expected at least 1, got 0" in capsys.readouterr().err


def test_training_never_sees_the_held_out_columns():
    image, labels = shared.load_nuclei()
    assert image.shape == labels.shape == (512, 512)
    assert image[shared.TRAIN].shape == (512, 342)
    assert image[shared.HELD_OUT].shape == (512, 170)
    assert np.array_equal(np.concatenate([image[shared.TRAIN], image[shared.HELD_OUT]], 1), image)


def test_a_file_that_predicts_otherwise_is_noticed(tmp_path):
    image, _ = shared.load_nuclei()
    with pytest.raises(SystemExit, match="predicts something else"):
        shared.save_and_reload(nx.multiscale.UNet(1, 1, features=[2]), tmp_path / "m.nx", image[:16, :16], np.zeros((16, 16), np.float32))


def test_right_wrong_and_missed_have_their_colours():
    image = np.zeros((9, 9), np.uint8)
    prediction, truth = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    prediction[1:4, 1:8], truth[1:8, 1:4] = True, True
    picture = shared.agreement(image, prediction, truth)
    assert picture[6, 2].argmax() == 2  # missed: blue
    assert picture[2, 6].argmax() == 0  # too much: red
    assert picture[2, 2].argmax() == 1  # right: green
    assert picture[8, 8].sum() == 0
