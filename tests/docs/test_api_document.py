"""The API document is the contract: its examples run as they stand, its signatures are ours.

``multiscale_api.md`` beside this file is a copy of the document. What it leaves undefined (``train_dataset``, ``input_tensor``,
``base_model`` where it is used before it is made) a prelude supplies, with small data.
"""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import multiscale

DOCUMENT = (Path(__file__).parent / "multiscale_api.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.S)
EXAMPLES = [b for b in BLOCKS if not b.startswith("neurenix.multiscale.")]
SIGNATURES = [b for b in BLOCKS if b.startswith("neurenix.multiscale.")]


def prelude() -> dict[str, object]:
    """What the document takes for granted."""
    rng = np.random.default_rng(0)
    images = rng.random((2, 3, 16, 16), dtype=np.float32)
    return {
        "base_model": nx.nn.Conv2d(3, 4, kernel_size=3, padding=1),
        "input_tensor": nx.Tensor(images[:1]),
        "train_dataset": [(x, (x[:1] > 0.5).astype(np.float32)) for x in images],
    }


def test_the_document_has_what_it_had():
    assert (len(EXAMPLES), len(SIGNATURES)) == (7, 12)


@pytest.mark.parametrize("number", range(7))
def test_examples_run_as_they_stand(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace = prelude()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(EXAMPLES[number], f"example {number}", "exec"), namespace)
    printed = capsys.readouterr().out
    if "train_loader" in namespace:
        losses = [float(v) for v in re.findall(r"Loss: ([\d.]+)", printed)]
        assert len(losses) == 10
        assert losses[-1] < losses[0]
        assert isinstance(nx.load("unet_segmentation_model.nx"), multiscale.UNet)
    if "coarse_model" not in namespace and number == 0:
        assert namespace["output"].shape == (1, 192, 224, 224)
    if "feature_extractor" in namespace:
        assert namespace["output"].shape == (1, 10)


@pytest.mark.parametrize("text", SIGNATURES, ids=lambda t: re.search(r"multiscale\.(\w+)", t)[1])
def test_signatures(text):
    call = re.match(r"neurenix\.multiscale\.(\w+)\((.*)\)\s*$", text, re.S)
    name, arguments = call[1], call[2]
    documented = ast.parse(f"def f({arguments}): pass").body[0].args
    defaults = [None] * (len(documented.args) - len(documented.defaults)) + documented.defaults
    ours = [p for p in inspect.signature(getattr(multiscale, name)).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    assert [p.name for p in ours] == [a.arg for a in documented.args]
    for parameter, default in zip(ours, defaults, strict=True):
        assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        want = inspect.Parameter.empty if default is None else ast.literal_eval(default)
        assert parameter.default == want
        assert type(parameter.default) is type(want)


def test_documented_methods_are_there():
    for section in re.split(r"```python\nneurenix\.multiscale\.", DOCUMENT)[1:]:
        kind = getattr(multiscale, section.partition("(")[0])
        listed = re.search(r"\*\*Methods:\*\*\n((?:- .*\n)+)", section)[1]
        for name, parameters in re.findall(r"- `(\w+)\((.*?)\)`", listed):
            found = inspect.signature(getattr(kind, name)).parameters
            positional = [p for n, p in found.items() if n != "self" and p.kind is not p.KEYWORD_ONLY]
            assert [p.name for p in positional] == [p.strip() for p in parameters.split(",") if p.strip()]
