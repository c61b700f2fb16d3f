"""What ``import neurenix`` brings along."""

import subprocess
import sys

OPTIONAL = {"cupy", "PIL", "tqdm", "scipy", "torch", "skimage", "tifffile", "zarr", "onnx", "mpi4py"}


def test_import_needs_numpy_only() -> None:
    code = f"import sys, neurenix, neurenix.multiscale, neurenix.data, neurenix.optim; print(*sorted({OPTIONAL!r} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "", f"`import neurenix` also imported {out.stdout.strip()}"
