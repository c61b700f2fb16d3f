"""Every oracle case of every operation, layer and optimizer that the library has, under both precisions.

The expectations come from PyTorch 2.13 and the ONNX backend tests; nobody on this project wrote them. What the library does not
have must be listed in docs/unsupported.md, so that a misspelt name cannot pass unseen.
"""

import cases
import pytest


@pytest.mark.parametrize("precision", cases.PRECISIONS)
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in cases.CASES.items() for name in sorted(names)])
def test_agrees(kind, name, precision):
    outcomes = cases.run(kind, name, precision)
    lines = cases.wrong(name, outcomes)
    assert not lines, f"{len(lines)} of {len(outcomes)} cases\n" + "\n".join(lines[:5])


def test_what_is_unsupported_is_really_absent():
    names = {name for kind in cases.CASES.values() for name in kind}
    assert names >= cases.UNSUPPORTED, "docs/unsupported.md lists names that the oracle does not have"
