"""The page of coverage says what is so."""

import importlib.util
import re
from pathlib import Path

LAST = re.compile(r"\|([^|\n]*)\|$", re.M)


def test_the_page_is_fresh():
    spec = importlib.util.spec_from_file_location("coverage_page", Path(__file__).parents[1] / "tools" / "coverage.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    have, want = tool.PAGE.read_text(), tool.page()
    assert LAST.sub("|", have) == LAST.sub("|", want), "run: make coverage"
    for a, b in zip(LAST.findall(have), LAST.findall(want), strict=True):  # distances: products of matrices differ between processors
        powers = [int(found[1]) if (found := re.search(r"1e(-?\d+)", text)) else None for text in (a, b)]
        assert a == b or (None not in powers and abs(powers[0] - powers[1]) <= 1), f"{a} is {b} here; run: make coverage"
