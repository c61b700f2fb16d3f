"""Every oracle case of every operation, layer and optimizer that the library has, under both precisions.

The expectations come from PyTorch 2.13 and the ONNX backend tests; nobody on this project wrote them. What the library does not
have must be listed in docs/unsupported.md, so that a misspelt name cannot pass unseen.
"""

import re
import warnings
from pathlib import Path

import backend as library
import check_modules
import fixture_io as fx
import pytest

import neurenix as nx

HERE = Path(__file__).parent
UNSUPPORTED = set(re.findall(r"^- `([^`]+)`", (HERE.parents[1] / "docs" / "unsupported.md").read_text(), re.M))
LIBRARY = library.Backend()


def groups(kind, folders, key):
    found = {}
    for folder in folders:
        for _, manifest, arrays in fx.iter_groups(str(HERE / folder), kind):
            for case in manifest["cases"]:
                name = case.get(key) or "+".join(s["op"] for s in case["steps"])
                found.setdefault(name, []).append((case, arrays))
    return found


OPERATIONS = groups("opfix-1", ("opinfo", "opinfo_nn", "onnx", "ties"), "op")
LAYERS = groups("modfix-1", ("modules",), "module")
OPTIMIZERS = groups("optfix-1", ("optim",), "optimizer")


@pytest.fixture(params=["ieee", "fast"], autouse=True)
def precision(request):
    with nx.set_float32_precision(request.param), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield request.param


def run_all(name, cases, run):
    wrong = []
    for case, arrays in cases:
        result, detail = run(case, arrays)
        if result == "unsupported" and name in UNSUPPORTED:
            continue
        if result != "pass":
            wrong.append(f"{case['id']}: {result} {detail}")
    assert not wrong, f"{len(wrong)} of {len(cases)} cases\n" + "\n".join(wrong[:5])


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_operation(name):
    run_all(name, OPERATIONS[name], lambda case, arrays: fx.run_case(case, arrays, LIBRARY))


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_layer(name):
    run_all(name, LAYERS[name], lambda case, arrays: check_modules.run_module(case, arrays, LIBRARY))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_optimizer(name):
    run_all(name, OPTIMIZERS[name], lambda case, arrays: check_modules.run_optim(case, arrays, LIBRARY))


def test_what_is_unsupported_is_really_absent():
    names = {**OPERATIONS, **LAYERS, **OPTIMIZERS}
    assert set(names) >= UNSUPPORTED, "docs/unsupported.md lists names that the oracle does not have"
