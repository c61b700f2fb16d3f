"""Any number of threads gives the same bits, and a child forked while the pool is busy can compute."""

import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import neurenix as nx
from neurenix.multiscale import UNet


def step(model, x):
    """Output, loss and every gradient of one training step."""
    for p in model.parameters():
        p.grad = None
    y = model(x)
    loss = (y * y).mean()
    loss.backward()
    return [y.numpy().copy(), loss.numpy().copy(), *(p.grad.numpy().copy() for p in model.parameters())]


def test_training_step_has_the_same_bits_under_each_thread_count(each_thread_count):
    nx.manual_seed(0)
    model = UNet(in_channels=3, out_channels=2, features=[8, 16], norm="group")
    x = nx.Tensor(np.random.default_rng(0).standard_normal((2, 3, 45, 37)).astype(np.float32))
    first, *others = each_thread_count(lambda: step(model, x))
    for other in others:
        assert all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


FORKING = """
    import os, threading, warnings
    import numpy as np
    import neurenix as nx
    from neurenix.nn import functional as F

    warnings.filterwarnings("ignore", category=DeprecationWarning)  # a process with threads forks: what is tested here
    nx.set_num_threads(2)
    x = nx.Tensor(np.random.default_rng(0).standard_normal((1, 16, 96, 96)).astype(np.float32))
    w = nx.Tensor(np.random.default_rng(1).standard_normal((16, 16, 3, 3)).astype(np.float32))
    want = F.conv2d(x, w, padding=1).numpy()
    stop = threading.Event()

    def keep_busy():
        while not stop.is_set():
            F.conv2d(x, w, padding=1)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    for _ in range(10):
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(F.conv2d(x, w, padding=1).numpy(), want) else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
    stop.set()
    busy.join()
    print("ten children computed")
"""


def test_a_child_forked_while_busy_computes():
    code = textwrap.dedent(FORKING)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "ten children computed", done.stderr


WORKERS = """
    import multiprocessing as mp, sys
    import numpy as np
    import neurenix as nx
    from neurenix.nn import functional as F

    def work(seed):
        x, w = (np.random.default_rng(seed).standard_normal(shape).astype(np.float32) for shape in ((1, 16, 64, 64), (16, 16, 3, 3)))
        return F.conv2d(x, w, padding=1).numpy()

    if __name__ == "__main__":
        nx.set_num_threads(2)
        want = [work(seed) for seed in range(4)]
        for start in ("spawn", "forkserver", "fork"):
            with mp.get_context(start).Pool(2) as pool:
                got = pool.map(work, range(4))
            assert all(np.array_equal(a, b) for a, b in zip(want, got))
        print("all workers computed")
"""


def test_workers_compute_however_they_start(tmp_path):
    script = tmp_path / "workers.py"
    script.write_text(textwrap.dedent(WORKERS))
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "all workers computed", done.stderr


def test_kernels_run_beside_another_pool_and_in_many_threads():
    """NumPy's BLAS has threads of its own; several threads of ours call kernels at once."""
    rng = np.random.default_rng(0)
    x, w = (nx.Tensor(rng.standard_normal(shape).astype(np.float32)) for shape in ((1, 16, 96, 96), (16, 16, 3, 3)))
    a = rng.standard_normal((300, 300))
    want, product = nx.nn.functional.conv2d(x, w, padding=1).numpy(), a @ a

    def both(_):
        same = [np.array_equal(nx.nn.functional.conv2d(x, w, padding=1).numpy(), want) for _ in range(5)]
        return all(same) and np.allclose(a @ a, product)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(both, range(8), timeout=120))


def test_idle_threads_do_not_spin():
    nx.set_num_threads(2)
    nx.nn.functional.conv2d(np.ones((1, 16, 256, 256), np.float32), np.ones((16, 16, 3, 3), np.float32))
    time.sleep(0.1)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1
