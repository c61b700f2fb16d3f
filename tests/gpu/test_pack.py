"""The archive for a machine with a GPU: it has what the tests and benchmarks there need, and they start from it alone."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine with a gpu")
    wheel = folder / "neurenix-0-cp311-abi3-any.whl"
    wheel.write_bytes(b"a wheel")
    (folder / "more").mkdir()
    (folder / "more" / "other-1-py3-none-any.whl").write_bytes(b"another")
    command = [sys.executable, ROOT / "tests/tools/pack_gpu", folder / "out.tar.gz", "--wheel", wheel, "--with", folder / "more"]
    subprocess.run(command, check=True, capture_output=True)
    with tarfile.open(folder / "out.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "neurenix-gpu"


def test_it_holds_wheels_tests_benches_and_the_commit(unpacked):
    assert sorted(f.name for f in (unpacked / "wheels").iterdir()) == ["neurenix-0-cp311-abi3-any.whl", "other-1-py3-none-any.whl"]
    assert (unpacked / "COMMIT").read_text().strip()
    assert not list(unpacked.rglob("*.so"))
    for name in ("tests/gpu/test_large.py", "benches/cuda_conv.py", "benches/cuda_memory.py", "pyproject.toml"):
        assert (unpacked / name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.parametrize("name", ["gpu-test", "gpu-bench"])
def test_its_programs_are_well_formed(unpacked, name):
    assert (unpacked / name).stat().st_mode & 0o111
    subprocess.run(["bash", "-n", unpacked / name], check=True)


def test_what_a_gpu_runs_needs_no_more_than_pytest(unpacked, tmp_path):
    """The machine has CuPy, NumPy and pytest: whatever else the suite's environment has is hidden here."""
    for name in ("hypothesis", "PIL", "scipy", "tqdm"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('no {name} on that machine')\n")
    files = [str(f) for f in sorted((unpacked / "tests/gpu").glob("test_*.py")) if "mark" + ".gpu" in f.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest", "-m", "gpu", "--collect-only", *files]
    path = os.pathsep.join([str(tmp_path), str(ROOT / "python")])
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(files) > 2
    assert "grep -l" in (unpacked / "gpu-test").read_text()


def test_the_tests_are_collected_from_it_and_fail_without_a_gpu(unpacked):
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/gpu/test_large.py", "-k", "regions"]
    found = subprocess.run([*command, "--collect-only"], cwd=unpacked, capture_output=True, text=True, check=False)
    assert "test_regions_of_a_gpu" in found.stdout, found.stdout
    import neurenix as nx

    if not nx.cuda.is_available():
        required = subprocess.run(
            command, cwd=unpacked, capture_output=True, text=True, check=False, env=os.environ | {"NEURENIX_REQUIRE_GPU": "1"}
        )
        assert "1 error" in required.stdout, required.stdout


def test_the_benchmark_of_memory_runs_without_a_gpu(unpacked):
    command = [sys.executable, "benches/cuda_memory.py", "--device", "cpu", "--repeats", "1", "--only", "pool"]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False)
    assert "max_pool2d" in done.stdout, done.stderr
