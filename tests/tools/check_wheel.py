"""Build wheel and sdist, install the wheel in a new environment outside the tree, and use the library there."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 10 * 2**20

USE = """
import sys
import neurenix as nx
from neurenix.multiscale import UNet
assert "{root}" not in nx.__file__, nx.__file__
loaded = {{"cupy", "PIL", "tqdm", "scipy", "torch"}} & set(sys.modules)
assert not loaded, loaded
model = UNet(in_channels=1, out_channels=1, features=[4, 8])
y = model(nx.Tensor(shape=(1, 1, 21, 17)))
y.sum().backward()
assert y.shape == (1, 1, 21, 17), y.shape
print("the installed wheel", nx.__version__, "runs a U-Net")
"""


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command; its failure ends this script."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, check=False)
    if done.returncode:
        sys.exit(f"check_wheel: failed: {' '.join(str(part) for part in command)}")


def expected_files() -> set[str]:
    """Files of the package in the tree, compiled and cached ones aside."""
    package = ROOT / "python"
    files = (p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".so")
    return {p.relative_to(package).as_posix() for p in files}


def check_contents(wheel: Path, sdist: Path) -> None:
    """Refuse archives that lack files of the package, and a wheel that is too large."""
    size = wheel.stat().st_size
    if size > LARGEST:
        sys.exit(f"check_wheel: expected a wheel below {LARGEST} bytes, {wheel.name} has {size}")
    with zipfile.ZipFile(wheel) as archive:
        missing = sorted(expected_files() - set(archive.namelist()))
    if missing:
        sys.exit(f"check_wheel: not in {wheel.name}: {', '.join(missing)}")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {f"python/{name}" for name in expected_files()} | {"Cargo.toml", "Cargo.lock", "LICENSE", "README.md", "pyproject.toml"}
    missing = sorted(wanted - names)
    if missing:
        sys.exit(f"check_wheel: not in {sdist.name}: {', '.join(missing)}")
    print(f"{wheel.name}: {size / 1e6:.2f} MB, {sdist.name}: {sdist.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Build, look inside, install, use."""
    with tempfile.TemporaryDirectory() as folder:
        outside = Path(folder)
        maturin = [sys.executable, "-m", "maturin"]
        run(*maturin, "build", "--release", "--quiet", "--out", outside)
        run(*maturin, "sdist", "--out", outside)
        wheel, sdist = next(outside.glob("*.whl")), next(outside.glob("*.tar.gz"))
        check_contents(wheel, sdist)
        venv.create(outside / "env", with_pip=True)
        python = outside / "env" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=outside)
        run(python, "-W", "error", "-c", USE.format(root=ROOT), cwd=outside)


if __name__ == "__main__":
    main()
