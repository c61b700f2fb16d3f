"""Rooms that load when first used."""

import subprocess
import sys

import pytest

import neurenix as nx


def test_data_is_there_without_importing_it():
    program = "import sys, neurenix as nx; assert 'neurenix.data' not in sys.modules; print(nx.data.DataLoader.__name__)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "DataLoader\n"


@pytest.mark.parametrize("name", ["nx.predict", "nx.load", "nx.EarlyStopping", "nx.overlay", "nx.multiscale.predict_tiled"])
def test_names_load_their_room_and_are_listed(name):
    program = (
        f"import sys, neurenix as nx; assert 'neurenix.serialization' not in sys.modules; f = {name}; print({name} is f, f.__module__)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("True neurenix.")
    room, _, short = name.rpartition(".")
    assert short in dir(nx if room == "nx" else nx.multiscale)


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'dota'"):
        _ = nx.dota
