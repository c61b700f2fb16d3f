import io
import time

import pytest

from neurenix.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_plain_lines_appear_every_few_seconds_and_at_the_end():
    out = io.StringIO()
    progress = Progress(range(5), "epoch", seconds=0.0, stream=out)
    for number in progress:
        progress.note(f"loss {number}")
        time.sleep(0.001)
    lines = out.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[0] == "epoch 1/5, loss 0, 0 s"
    assert lines[-1] == "epoch 5/5, loss 4, 0 s"
    quiet = io.StringIO()
    assert list(Progress((i for i in range(3)), seconds=100, stream=quiet)) == [0, 1, 2]
    assert quiet.getvalue() == "step 3, 0 s\n"


@pytest.mark.parametrize(("total", "to_go"), [(3, "20 s"), (31, "5 min"), (1001, "2.8 h")])
def test_lines_say_how_long_it_will_take(total, to_go, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("neurenix.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()
    for _ in Progress(range(total), "tile", stream=out):
        now[0] += 10
        if now[0] == 20:
            break
    assert out.getvalue() == f"tile 1/{total}, 10 s, about {to_go} to go\n"


def test_a_terminal_gets_a_bar():
    pytest.importorskip("tqdm")
    out = Terminal()
    progress = Progress(range(3), "step", stream=out)
    for number in progress:
        progress.note(f"loss {number}")
    assert "3/3" in out.getvalue()
    assert "\r" in out.getvalue()


def test_a_terminal_without_tqdm_gets_lines(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    out = Terminal()
    assert list(Progress(range(2), stream=out)) == [0, 1]
    assert out.getvalue() == "step 2/2, 0 s\n"


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_what_is_over_soon_says_nothing_where_that_is_asked_for(stream):
    pytest.importorskip("tqdm")
    out = stream()
    assert list(Progress(range(4), "file", stream=out, patient=True)) == [0, 1, 2, 3]
    assert out.getvalue() == ""
    for _ in Progress(range(4), "file", stream=out, patient=True, seconds=0.01):
        time.sleep(0.12)  # a bar is drawn every tenth of a second
    assert "file 1/4" in out.getvalue() or "1/4 [" in out.getvalue()
    assert "4/4" in out.getvalue()
