"""Rooms that load when first used."""

import subprocess
import sys

import pytest

import neurenix as nx


def test_data_is_there_without_importing_it():
    program = "import sys, neurenix as nx; assert 'neurenix.data' not in sys.modules; print(nx.data.DataLoader.__name__)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "DataLoader\n"


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'dota'"):
        _ = nx.dota
