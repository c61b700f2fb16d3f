"""Compiled kernels in a folder that many processes share."""

import hashlib
import os
import subprocess
import sys
import textwrap
import time

import pytest
from gpu import emulated, fake_cupy, nvrtc_check
from gpu.fake_cupy import FakeCuPy

import neurenix as nx
from neurenix.backend import cubins, nvrtc, sources
from neurenix.errors import ArgumentError, DTypeError, FileError, InternalError, NeurenixWarning


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """The folder of this test."""
    monkeypatch.setenv("NEURENIX_CACHE_DIR", str(tmp_path / "shared"))
    return tmp_path / "shared"


def kept(place):
    return sorted(p for p in place.rglob("*") if p.is_file())


@pytest.fixture
def fake(monkeypatch):
    emulated.require()
    return fake_cupy.in_place(monkeypatch, FakeCuPy())


# --- keys


def test_the_key_stands_for_everything_that_the_code_follows_from(monkeypatch):
    compiler, found = nvrtc.Compiler(FakeCuPy()), []

    def file(stem="layout", suffix="f32", arch="sm_80"):
        found.append(compiler.file(stem, suffix, nvrtc.Target(arch))[0].name.partition("-")[0])

    file()
    file(suffix="f64")
    file(arch="sm_90")
    compiler.versions = "cupy 14.2.0 nvrtc 13.0"
    file()
    compiler.versions = "cupy 14.3.0 nvrtc 12.9"
    file()
    monkeypatch.setattr(sources, "OPTIONS", ("-std=c++17",))
    file()
    monkeypatch.setattr(cubins, "FORMAT", "2")
    file()
    assert len(set(found)) == len(found) == 7
    file()
    assert found[-1] == found[-2]


def test_a_changed_header_is_another_key(monkeypatch):
    compiler = nvrtc.Compiler(FakeCuPy())
    before, _ = compiler.file("layout", "f32", nvrtc.Target("sm_80"))
    text = sources.text
    changed = {"common.cuh": text("common.cuh") + "// changed\n"}
    sources.unit.cache_clear()
    monkeypatch.setattr(sources, "text", lambda name: changed.get(name) or text(name))
    try:
        after, made = compiler.file("layout", "f32", nvrtc.Target("sm_80"))
    finally:
        sources.unit.cache_clear()
    assert made
    assert after.name.partition("-")[0] != before.name.partition("-")[0]


def test_versions_are_those_of_cupy_and_nvrtc():
    assert nvrtc.Compiler(FakeCuPy()).versions == "cupy 14.2.0 nvrtc 12.9"


# --- files


def test_a_file_is_made_once(place):
    calls = []
    make = lambda: calls.append(1) or b"code"  # noqa: E731
    first, second = cubins.compiled("ab" * 20, make), cubins.compiled("ab" * 20, make)
    assert (first[1], second[1], len(calls)) == (True, False, 1)
    assert first[0] == second[0] == kept(place)[0]
    assert first[0].read_bytes() == b"code"


@pytest.mark.parametrize(
    "damage", [lambda p: p.write_bytes(p.read_bytes()[:3]), lambda p: p.write_bytes(b"other"), lambda p: p.write_bytes(b"")]
)
def test_a_damaged_file_is_made_anew(place, damage):
    path, _ = cubins.compiled("ab" * 20, lambda: b"code" * 100)
    damage(path)
    again, made = cubins.compiled("ab" * 20, lambda: b"code" * 100)
    assert made
    assert again.read_bytes() == b"code" * 100
    assert kept(place) == [again]


def test_what_a_killed_process_left_goes_away(place):
    path, _ = cubins.compiled("ab" * 20, lambda: b"one")
    old, new = path.parent / "old.tmp", path.parent / "new.tmp"
    for unfinished in (old, new):
        unfinished.write_bytes(b"part")
    os.utime(old, (time.time() - 7200,) * 2)
    cubins.compiled("ab" + "cd" * 19, lambda: b"two")
    assert not old.exists()
    assert new.exists()


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEURENIX_CACHE_DIR", str(tmp_path / "file" / "below"))
    with pytest.warns(NeurenixWarning, match="compiled kernels cannot be kept in .*below.*NEURENIX_CACHE_DIR names a folder"):
        path, made = cubins.compiled("ab" * 20, lambda: b"code")
    assert made
    assert path.read_bytes() == b"code"

    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cubins, "_write", no_room)
    with pytest.raises(FileError, match="expected a folder for compiled kernels, got .*No space left on device; free some disk"):
        cubins.compiled("ab" * 20, lambda: b"code")


def test_a_failed_write_leaves_nothing(place, monkeypatch):
    def fails(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.warns(NeurenixWarning), pytest.raises(FileError):
        cubins.compiled("ab" * 20, lambda: b"code")
    assert kept(place) == []


def test_where_kernels_are_kept(monkeypatch, tmp_path):
    monkeypatch.delenv("NEURENIX_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cubins.folder() == tmp_path / "neurenix" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cubins.folder() == tmp_path / ".cache" / "neurenix" / "kernels"


# --- many processes

RANK = textwrap.dedent("""
    import hashlib, os, sys, time
    from pathlib import Path
    from neurenix.backend import cubins
    go, rank = Path(sys.argv[1]), int(sys.argv[2])
    Path(f"{go}.{rank}").touch()
    while not go.exists():
        time.sleep(0.001)
    for number in range(40):
        key = hashlib.sha256(f"kernel {number}".encode()).hexdigest()[:40]
        wanted = hashlib.sha256(key.encode()).digest() * 4096
        path, made = cubins.compiled(key, lambda: wanted)
        assert path.read_bytes() == wanted, "a file that is not whole"
        assert not cubins.compiled(key, lambda: b"again")[1]
    print("fine")
""")


def test_eight_processes_start_at_once(place, tmp_path):
    for number in range(0, 40, 4):  # cut short, as by a full disk
        key = hashlib.sha256(f"kernel {number}".encode()).hexdigest()[:40]
        path, _ = cubins.compiled(key, lambda key=key: hashlib.sha256(key.encode()).digest() * 4096)
        path.write_bytes(path.read_bytes()[:1000])
    go = tmp_path / "go"
    run = [sys.executable, "-c", RANK, str(go)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NEURENIX_NUM_THREADS": "1"}
    ranks = [subprocess.Popen([*run, str(r)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) for r in range(8)]
    deadline = time.time() + 300
    while len(list(tmp_path.glob("go.*"))) < 8 and time.time() < deadline:
        time.sleep(0.01)
    go.touch()
    for rank in ranks:
        out, error = rank.communicate(timeout=300)
        assert (out, error) == ("fine\n", "")
    names = [p.name for p in kept(place)]
    assert len(names) == 40, "one file a key, none unfinished"
    assert all(name.endswith(".cubin") for name in names)


@pytest.mark.skipif(nvrtc_check.library() is None, reason="NVRTC is not installed: nvidia-cuda-nvrtc-cu12")
def test_the_real_compiler_gives_the_same_bytes_each_time():
    compiler = nvrtc_check.Nvrtc(nvrtc_check.library())
    options = [*sources.OPTIONS, "-arch=sm_80"]
    first, second = (compiler.code(sources.unit("layout", "f32"), "layout.cu", options) for _ in range(2))
    assert first[:4] == b"\x7fELF"
    assert first == second


# --- ahead of time


def test_warm_up(fake, place):
    assert nx.cuda.warm_up(["layout"], dtype=nx.float32) == 2
    assert len(kept(place)) == 2
    assert nx.cuda.warm_up(["copy_into", "accumulate"], dtype=nx.float32) == 0  # rows of the same file
    compiled = len(fake.cuda.nvrtc.compiled)
    assert nx.tensor([1.0, 2.0]).to("cuda").T.to(nx.float64).tolist() == [1.0, 2.0]
    assert [name for name, _ in fake.cuda.nvrtc.compiled[compiled:]] == ["layout.cu"]  # of float64 only
    everything = nx.cuda.warm_up()
    assert everything > 2 * len(sources.names())
    assert nx.cuda.warm_up() == 0


def test_warm_up_for_another_card(fake):
    fake.cuda.runtime.getDeviceCount = lambda: 0
    assert nx.cuda.warm_up(["conv"], dtype=nx.float32, architecture="sm_80") == 1
    assert fake.cuda.nvrtc.compiled[-1][1][-1] == "-arch=sm_80"


def test_warm_up_leaves_out_what_a_card_cannot_run(fake):
    assert nx.cuda.warm_up(["conv_tensor"], architecture="sm_70") == 0
    assert nx.cuda.warm_up(["conv_tensor"], architecture="sm_80") > 0


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("conv",), ArgumentError, r"expected a list of kernels, got 'conv'; pass \['conv'\]"),
        ((["convolution"],), ArgumentError, "expected names of CUDA kernels, got 'convolution'; pass e.g. "),
    ],
)
def test_warm_up_refuses(fake, arguments, error, text):
    with pytest.raises(error, match=text):
        nx.cuda.warm_up(*arguments)
    with pytest.raises(ArgumentError, match="expected an architecture among sm_70, .*, got '8.0'"):
        nx.cuda.warm_up(architecture="8.0")
    with pytest.raises(DTypeError, match="expected dtype to be an element type of tensors, got 'complex64'"):
        nx.cuda.warm_up(dtype="complex64")


def test_a_source_that_does_not_compile_is_our_fault(fake):
    def refuses(program, options):
        raise fake_cupy.NVRTCError("NVRTC_ERROR_COMPILATION")

    fake.cuda.nvrtc.compileProgram = refuses
    with pytest.raises(InternalError, match=r"internal: layout.cu does not compile with NVRTC \(12, 9\) .* NVRTC_ERROR_COMPILATION\nlog"):
        nx.tensor([1.0]).to("cuda").to(nx.float64)
