"""A short run of the fuzzers: every finding ever kept, and the same few hundred cases each time. ``make fuzz`` searches."""

import pytest
from fuzz import run

SEED, CASES = 2026, {"binding": 4000, "files": 600, "images": 250}


@pytest.mark.parametrize("name", run.TARGETS)
def test_nothing_breaks(name):
    runner = run.Runner(name, SEED)
    wrong = []
    try:
        for wanted in [*(p.read_bytes() for p in run.corpus(name)), *range(CASES[name])]:
            case, trouble = runner.run(wanted)
            if trouble:
                wrong.append(f"{wanted if isinstance(wanted, int) else case[:80]!r}: {trouble.strip().splitlines()[-1]}")
    finally:
        runner.stop()
    assert not wrong, f"{len(wrong)} cases\n" + "\n".join(wrong[:10])


def test_a_crash_and_a_hang_are_seen(monkeypatch):
    runner = run.Runner("images", SEED)
    try:
        runner.process.kill()
        _, trouble = runner.run(0)
        assert "died" in trouble
        assert runner.run(0)[1] is None
        monkeypatch.setattr(run, "PATIENCE", 0.0)
        assert "no answer" in runner.run(1)[1]
    finally:
        runner.stop()
