"""Python's kernel table against the built extension, in both directions."""

import importlib
import pkgutil

import pytest

import neurenix
from neurenix import _rust
from neurenix.backend.kernel import KERNELS


def import_everything():
    for module in pkgutil.walk_packages(neurenix.__path__, "neurenix."):
        if not module.name.startswith("neurenix.examples") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)


import_everything()


def as_python(role):
    return role.replace("<", "[").replace(">", "]").replace(" ", "")


def test_every_python_row_is_compiled():
    assert set(KERNELS) - set(_rust.rows()) == {name for name, row in KERNELS.items() if row.gpu_only}


def test_every_compiled_row_is_declared():
    assert set(_rust.rows()) - set(KERNELS) == set()


@pytest.mark.parametrize("name", sorted(set(KERNELS) & set(_rust.rows())))
def test_rows_agree(name):
    group, params = _rust.rows()[name]
    row = KERNELS[name]
    assert row.group == group
    assert row.params == tuple((argument, as_python(role)) for argument, role in params)
    assert row.text, f"{name}: expected a docstring with the formula"
