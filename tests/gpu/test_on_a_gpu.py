"""Life with a real GPU: `pytest -m gpu`. Without one these are skipped, with NEURENIX_REQUIRE_GPU=1 they fail. None has been run yet."""

import os
import time

import numpy as np
import pytest

import neurenix as nx
from neurenix import backend, nn
from neurenix.data import DataLoader, TensorDataset
from neurenix.errors import DeviceError, OutOfMemoryError
from neurenix.nn import functional as F
from neurenix.system import diagnose

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def cupy():
    """CuPy, where there is a GPU."""
    if not nx.cuda.is_available():
        text = f"needs a GPU: {[f for f in diagnose() if f.what in ('CuPy', 'GPU')]}"
        pytest.fail(text) if os.environ.get("NEURENIX_REQUIRE_GPU") else pytest.skip(text)
    import cupy

    return cupy


def close(a, b, distance=2e-6):
    a, b = (t.detach().cpu().numpy().astype(np.float64) for t in (a, b))
    assert np.linalg.norm(a - b) <= distance * np.linalg.norm(b)


def small_model():
    nx.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 1))


def trained(device, dtype=None, steps=5):
    model = small_model().to(device)
    optimizer, scaler = nx.optim.Adam(model.parameters(), lr=0.01), nx.amp.GradScaler(device, enabled=dtype == nx.float16)
    x = nx.tensor(np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)).to(device)
    for _ in range(steps):
        optimizer.zero_grad()
        with nx.autocast(device, dtype=dtype or nx.bfloat16, enabled=dtype is not None):
            loss = (model(x) ** 2).mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    return list(model.parameters())


def test_diagnosis_finds_nothing_wrong():
    assert diagnose().ok, str(diagnose())


@pytest.mark.parametrize("dtype", [None, nx.bfloat16, nx.float16])
def test_a_training_is_that_of_the_cpu(dtype):
    for gpu, cpu in zip(trained("cuda", dtype), trained("cpu", dtype), strict=True):
        close(gpu, cpu, 1e-4 if dtype is None else 3e-2)
    for first, second in zip(trained("cuda", dtype), trained("cuda", dtype), strict=True):
        np.testing.assert_array_equal(first.detach().cpu().numpy(), second.detach().cpu().numpy())


def test_streams(cupy):
    model, x = small_model().to("cuda").eval(), nx.rand(4, 3, 64, 64).to("cuda")
    with nx.no_grad():
        expected = model(x).cpu().numpy()
        cupy.cuda.Device().synchronize()
        for _ in range(10):
            with cupy.cuda.Stream(non_blocking=True) as stream:
                y = model(x)
            stream.synchronize()
            np.testing.assert_array_equal(y.cpu().numpy(), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_whole(workers):
    images = np.random.default_rng(1).standard_normal((64, 3, 128, 128)).astype(np.float32)
    loader = DataLoader(TensorDataset(images), batch_size=8, num_workers=workers, device="cuda", pin_memory=True)
    for _ in range(3):
        found = [(x * 1.0).cpu().numpy() for (x,) in loader]
        np.testing.assert_array_equal(np.concatenate(found), images)


def test_copies_run_beside_the_computing():
    images = np.zeros((24, 3, 1024, 1024), np.float32)
    layer = nn.Conv2d(3, 64, 3, padding=1).to("cuda")

    def seconds(**arguments):
        begin = time.perf_counter()
        for (x,) in DataLoader(TensorDataset(images), batch_size=2, device="cuda", **arguments):
            with nx.no_grad():
                layer(x)
        nx.cuda.synchronize()
        return time.perf_counter() - begin

    seconds()
    plain, ahead = (min(seconds(**a) for _ in range(3)) for a in ({"num_workers": 1}, {"num_workers": 1, "pin_memory": True}))
    assert ahead < 1.05 * plain, (ahead, plain)


def test_out_of_memory_and_on():
    model = nn.Conv2d(1, 1, 3, padding=1).to("cuda")
    x = nx.zeros(1, 1, 64, 64).to("cuda")
    expected = model(x).detach().cpu().numpy()
    _, total = nx.cuda.mem_get_info()
    with pytest.raises(OutOfMemoryError, match="cuda:0: expected .* GiB for an array .* GiB free of .*; "):
        backend.empty((total // 4,), np.float32, "cuda")
    np.testing.assert_array_equal(model(x).detach().cpu().numpy(), expected)
    nx.empty_cache("cuda")
    assert nx.memory_stats("cuda")["cached"] < 1 << 20


def test_two_gpus():
    if nx.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    x = nx.rand(3, 5).to("cuda:0")
    y = x.to("cuda:1")
    np.testing.assert_array_equal(x.cpu().numpy(), y.cpu().numpy())
    assert F.relu(y).device == "cuda:1"
    with pytest.raises(DeviceError, match="cuda:0 and cuda:1"):
        x + y
    with nx.cuda.device(1):
        assert nx.zeros(2, device="cuda").device == "cuda:1"


def test_everything_compiles():
    assert nx.cuda.warm_up() >= 0
    assert nx.cuda.warm_up() == 0


def test_the_command_trains_and_predicts_there(tmp_path):
    """The losses of a run on a CPU to three digits, and twice the same file."""
    from neurenix import png
    from neurenix.command import main
    from neurenix.examples.shared import load_nuclei

    image, labels = load_nuclei()
    for name, pixels in (("images", image), ("masks", np.where(labels > 0, 255, 0).astype(np.uint8))):
        (tmp_path / name).mkdir()
        for i in range(6):
            (tmp_path / name / f"{i}.png").write_bytes(png.encode(np.ascontiguousarray(pixels[64 * i : 64 * i + 64, :80])))
    common = ["train", str(tmp_path / "images"), str(tmp_path / "masks"), "--features", "4", "8", "--crop", "48", "--looks", "1"]
    for device in ("cuda", "cpu"):
        assert main([*common, "--steps", "20", "--out", str(tmp_path / device), "--device", device]) == 0
    losses = [nx.load(tmp_path / device / "last.nx")["rows"][0]["loss"] for device in ("cuda", "cpu")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert main([*common, "--steps", "20", "--out", str(tmp_path / "again"), "--device", "cuda"]) == 0
    assert (tmp_path / "again" / "last.nx").read_bytes() == (tmp_path / "cuda" / "last.nx").read_bytes()
    for precision in ("bfloat16", "float16"):
        for run in ("one", "other"):
            out = tmp_path / f"{precision} {run}"
            assert main([*common, "--steps", "20", "--out", str(out), "--device", "cuda", "--precision", precision]) == 0
        assert (tmp_path / f"{precision} one" / "last.nx").read_bytes() == (out / "last.nx").read_bytes()
        assert nx.load(out / "last.nx")["rows"][0]["loss"] == pytest.approx(losses[0], rel=5e-2)
    predict = ["predict", str(tmp_path / "cuda" / "best.nx"), str(tmp_path / "images"), "--out", str(tmp_path / "found")]
    assert main([*predict, "--device", "cuda"]) == 0
    assert len(list((tmp_path / "found").glob("*.png"))) == 6
