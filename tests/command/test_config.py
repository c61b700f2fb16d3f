"""``--config``: a run repeated from what it wrote, options that win, names and types that are wrong."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from command.runs import contents, make_folders, train, words

from neurenix.command import main

Folders = tuple[Path, Path]
pytestmark = pytest.mark.filterwarnings("ignore:BatchNorm2d")  # of few steps


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return make_folders(tmp_path_factory.mktemp('a "quoted" \\ place'))


def test_a_run_is_repeated_from_what_it_wrote(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert train(folders, one, "--steps", "4", "--seed", "3", "--rate", "0.001", "--precision", "bfloat16", "--model", "unet++") == 0
    assert main(["train", "--config", str(one / "config.toml"), "--out", str(two)]) == 0
    assert contents(two) == contents(one)
    configs = [tomllib.loads((run / "config.toml").read_text()) for run in (one, two)]
    assert configs[0]["train"] | {"out": str(two)} == configs[1]["train"]
    assert configs[0]["made_by"]["folder"] == str(Path.cwd())
    capsys.readouterr()
    assert main(["train", "--config", str(one / "config.toml")]) == 1
    assert "pass --resume to go on with it" in capsys.readouterr().err
    assert main(["train", "--config", str(one / "config.toml"), "--resume"]) == 0
    assert contents(one) == contents(two)


def test_options_win_over_the_file_and_a_dry_run_prints_what_came_of_it(
    folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[train]\nseed = 5\nepochs = 2\nrate = 1\nfeatures = [4, 8]\ntensorboard = true\nmask_suffix = ""\nkeep = 7\n')
    common = ["train", *map(str, folders), "--out", str(tmp_path / "run"), "--config", str(file), "--no-tensorboard", "--dry-run"]
    assert main([*common, "--steps", "9", "--seed", "6"]) == 0
    printed = tomllib.loads(capsys.readouterr().out)["train"]
    assert {name: printed.get(name) for name in ("seed", "steps", "epochs", "rate", "features", "tensorboard", "keep", "batch")} == {
        "seed": 6, "steps": 9, "epochs": None, "rate": 1.0, "features": [4, 8], "tensorboard": False, "keep": 7, "batch": 8,
    }  # fmt: skip
    (tmp_path / "printed.toml").write_text("[train]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in printed.items()))
    assert main(["train", "--config", str(tmp_path / "printed.toml"), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"] == printed
    assert main([*common, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["config"]["epochs"], found["config"].get("steps"), found["steps"]) == (2, None, 1)  # of three images, eight a step
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[train]\nfeaturs = [4]", "got 'featurs'; the nearest name is 'features'"),
        ("[train]\nresume = true", "got 'resume'; the nearest name is"),
        ("[train]\nsteps = 4.0", "expected a whole number for 'steps'"),
        ("[train]\nsteps = true", "expected a whole number for 'steps'"),
        ("[train]\nrate = '0.1'", "expected a number for 'rate'"),
        ("[train]\nfeatures = 4", "expected a list, each a whole number, for 'features'"),
        ("[train]\nfeatures = [4, '8']", "expected a list, each a whole number, for 'features'"),
        ("[train]\nfeatures = []", "expected a list, each a whole number, for 'features'"),
        ("[train]\nmodel = 'vnet'", "expected one of unet, unet++ for 'model'"),
        ("[train]\nchannels = 2", "expected one of 1, 3 for 'channels'"),
        ("[train]\ntensorboard = 1", "expected true or false for 'tensorboard'"),
        ("[train]\nimages = 3", "expected a text for 'images'"),
        ("[train]\nsteps = 3\nepochs = 1", "expected one of epochs and steps"),
        ("steps = 3", "expected a table [train] in"),
        ("[predict]\ntile = 3\n[train]\nsteps = 3", "got predict; begin the settings with a line [train]"),
        ("train = 3", "expected a table [train] in"),
        ("[train\n", "a file that cannot be read"),
        (None, "a file that cannot be read"),
    ],
)  # fmt: skip
def test_files_that_are_wrong(text: str | None, says: str, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    if text is not None:
        file.write_text(text)
    assert main([*words(folders, tmp_path / "run"), "--config", str(file)]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert str(file) in said
    assert not (tmp_path / "run").exists()


def test_what_neither_file_nor_command_line_says(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"[train]\nimages = {json.dumps(str(folders[0]))}\n")
    for argv in (
        ["train", "--config", str(file)],
        ["train", str(folders[0])],
        ["train", *map(str, folders), "--steps", "1", "--epochs", "1"],
    ):
        with pytest.raises(SystemExit, match="2"):
            main(argv)
    said = capsys.readouterr().err
    assert said.count("the following arguments are required: masks, --out") == 2
    assert "not allowed with argument --steps" in said
