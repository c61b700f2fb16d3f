"""How much a U-Net does on a GPU, counted and not timed: calls of rows of the kernel table, and the bytes that they pass over.

The counts are committed in ``work.txt`` beside this file, written by ``python tests/gpu/test_work_on_a_gpu.py`` or ``make work``. Shapes
alone are counted, on the emulated device, and no kernel runs.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from gpu import emulated
from unit import test_work

from neurenix.backend.kernel import skipped

COUNTS = Path(__file__).parent / "work.txt"
HEAD = """\
# What a U-Net of 16 and 32 channels (bottleneck 64) does on two images of 64 x 64 on a GPU, counted in its second run: written by `make work`.
# case | row of the kernel table | calls | bytes of its arrays | multiply-adds
"""


def lines():
    """One line a case and row, and one with their sum."""
    with skipped():
        return test_work.lines(emulated.door.device(None))


def test_counts_are_those_written_down():
    changed = test_work.changes(lines(), COUNTS)
    assert not changed, "counts are not those of tests/gpu/work.txt; if that is meant, `make work` writes them down:\n" + "\n".join(changed)


if __name__ == "__main__":
    COUNTS.write_text(HEAD + "\n".join(lines()) + "\n", encoding="utf-8")
