"""A process killed while it saves leaves a whole file behind: the one from before or the new one."""

import signal
import subprocess
import sys
import time

import numpy as np

import neurenix as nx

SAVE_FOR_EVER = """
import sys
import numpy as np
import neurenix as nx

arrays = [{"x": np.full(500_000, value, np.float32)} for value in (1, 2)]
nx.save(arrays[0], sys.argv[1])
print("saved", flush=True)
while True:
    for array in arrays:
        nx.save(array, sys.argv[1])
"""


def test_the_file_is_whole_whenever_the_process_is_killed(tmp_path):
    path = tmp_path / "weights.nx"
    for delay in (0.0, 0.003, 0.011, 0.017, 0.029):
        writer = subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, path], stdout=subprocess.PIPE, text=True)
        with writer:
            assert writer.stdout.readline() == "saved\n"
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
        values = np.unique(nx.load(path)["x"])
        assert values.size == 1
        assert values[0] in {1, 2}
