"""Files: round trips of models and values, other libraries' files, and files that are not what they should be."""

import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, FileError
from neurenix.normalization import Normalization
from neurenix.testing import assert_same_bits


class Scale(nn.Module):
    def __init__(self, size, start=1.0, *, name="scale"):
        self.name = name
        self.weight = nn.Parameter(nx.Tensor(shape=(size,), dtype="float32"))
        nn.init.constant_(self.weight, start)
        self.count = nn.Buffer(nx.tensor(0))

    def forward(self, x):
        return x


class Pair(nn.Module):
    def __init__(self, first, second, options=None):
        self.parts = [first, second]
        self.byname = {"again": first}
        self.options = options

    def forward(self, x):
        return x


CLASSES = [Scale, Pair]


def trained(size, value=2.5, **kwargs):
    scale = Scale(size, **kwargs)
    scale.weight.assign_(np.full(size, value, np.float32))
    return scale


def round_trip(obj, tmp_path, classes=CLASSES):
    nx.save(obj, tmp_path / "file.nx")
    return nx.load(tmp_path / "file.nx", classes=classes)


def assert_same_state(a, b):
    left, right = a.state_dict(), b.state_dict()
    assert list(left) == list(right)
    for name in left:
        assert_same_bits(left[name], right[name])


# --- values


def test_nested_values(tmp_path):
    value = {
        "a": [1, 2.5, True, None, "text", (3, 4)],
        "float": [float("inf"), float("-inf"), 1e-300, 0.1],
        5: {"array": np.arange(6, dtype=np.int16).reshape(2, 3), "empty": np.zeros((0, 3))},
        (1, "x"): 2**64 - 1,
        "type": np.dtype(np.float64),
        "numpy": np.float32(0.5),
    }
    got = round_trip(value, tmp_path)
    assert list(got) == list(value)
    assert got["a"] == value["a"]
    assert got["float"] == value["float"]
    assert got[(1, "x")] == 2**64 - 1
    assert got["type"] == np.float64
    assert got["numpy"] == 0.5
    assert_same_bits(got[5]["array"], value[5]["array"])
    assert_same_bits(got[5]["empty"], value[5]["empty"])
    assert np.isnan(round_trip([float("nan")], tmp_path)[0])


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"]
)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (2, 0, 4)])
def test_tensors_of_every_type(tmp_path, dtype, shape):
    x = nx.tensor((np.arange(np.prod(shape, dtype=int)).reshape(shape) * 3).astype(dtype))
    got = round_trip({"x": x}, tmp_path)["x"]
    assert isinstance(got, nx.Tensor)
    assert_same_bits(got, x)
    got.data[...] = 1  # memory of its own


def test_non_contiguous_arrays(tmp_path):
    x = np.arange(24.0).reshape(2, 3, 4)
    got = round_trip([x.transpose(2, 0, 1), x[:, ::-2]], tmp_path)
    assert_same_bits(got[0], x.transpose(2, 0, 1).copy())
    assert_same_bits(got[1], x[:, ::-2].copy())


def test_names_that_clash(tmp_path):
    got = round_trip({"a": {"b": np.zeros(1)}, "a.b": np.ones(1), "__metadata__": np.ones(2)}, tmp_path)
    assert (got["a"]["b"], got["a.b"], got["__metadata__"].size) == (0, 1, 2)


def test_refuses_what_no_file_can_hold(tmp_path):
    path = tmp_path / "file.nx"
    with pytest.raises(ArgumentError, match=r"save: expected numbers, .* got function at 'a.1'; leave it out"):
        nx.save({"a": [1, lambda: 0]}, path)
    assert list(tmp_path.iterdir()) == []


# --- models


def test_model(tmp_path):
    model = nn.Sequential(trained(3), nn.Sequential(trained(2, name="b")))
    model[0].weight.requires_grad_(False)
    model[1].eval()
    got = round_trip(model, tmp_path)
    assert_same_state(got, model)
    assert [p.requires_grad for p in got.parameters()] == [False, True]
    assert [m.training for m in got.modules()] == [True, True, False, False]
    assert got[1][0].name == "b"
    assert all(type(p) is nn.Parameter for p in got.parameters())


def test_model_of_float64(tmp_path):
    model = trained(3).double()
    got = round_trip(model, tmp_path)
    assert got.weight.dtype == np.float64
    assert_same_state(got, model)


def test_input_normalization(tmp_path):
    model = nn.Sequential(trained(3))
    model.input_normalization = Normalization(mean=[0.5, 0.25], std=2.0, scale=255)
    got = round_trip(model, tmp_path)
    assert got.input_normalization.arguments() == model.input_normalization.arguments()
    assert got[0].input_normalization is None


def test_replaced_added_and_removed(tmp_path):
    model = Pair(trained(2), trained(3), {"deep": [1, 2]})
    model.parts[1] = trained(5, name="other")
    model.extra = trained(4)
    model.bias = nn.Parameter(np.ones(2, np.float32))
    model.parts[0].weight = nn.Parameter(np.zeros((2, 2), np.float32))
    got = round_trip(model, tmp_path)
    assert_same_state(got, model)
    assert got.parts[1].name == "other"
    assert got.options == {"deep": [1, 2]}
    assert got.byname["again"] is got.parts[0]
    del model.extra
    model.bias = None
    got = round_trip(model, tmp_path)
    assert_same_state(got, model)


def test_shared_modules_and_tied_parameters(tmp_path):
    shared = trained(2)
    model = nn.Sequential(shared, Pair(trained(2), shared), shared)
    model[1].parts[0].weight = shared.weight
    got = round_trip(model, tmp_path)
    assert_same_state(got, model)
    assert got[0] is got[1].parts[1] is got[2]
    assert got[1].parts[0].weight is got[0].weight
    assert got[1].byname["again"] is got[1].parts[0]
    assert len(list(got.parameters())) == len(list(model.parameters())) == 1


def test_model_inside_a_dict(tmp_path):
    checkpoint = {"model": trained(3), "best": trained(2), "state": {0: {"step": 4}}, "epoch": 2}
    got = round_trip(checkpoint, tmp_path)
    assert_same_state(got["model"], checkpoint["model"])
    assert_same_state(got["best"], checkpoint["best"])
    assert got["state"] == {0: {"step": 4}}


def test_arrays_among_constructor_arguments(tmp_path):
    model = Pair(trained(1), trained(1), options=[np.arange(3), nx.tensor([1.5])])
    got = round_trip(model, tmp_path)
    assert_same_bits(got.options[0], np.arange(3))
    assert got.options[1].tolist() == [1.5]


def test_random_numbers_are_left_alone(tmp_path):
    nx.manual_seed(3)
    before = nx.get_rng_state()
    round_trip(trained(3), tmp_path)
    assert nx.get_rng_state() == before


def test_unknown_class(tmp_path):
    nx.save(trained(3), tmp_path / "file.nx")
    with pytest.raises(FileError, match=r"expected the class '.*Scale' among classes=, got \[\]; pass classes=\[Scale\]"):
        nx.load(tmp_path / "file.nx")
    with pytest.raises(ArgumentError, match="expected classes of modules"):
        nx.load(tmp_path / "file.nx", classes=[dict])


class Wrong(nn.Module):
    made = 0

    def __init__(self):
        Wrong.made += 1
        self.weight = nn.Parameter(nx.Tensor(shape=(Wrong.made,)))
        if Wrong.made == 5:
            raise ValueError("not five times")


def test_model_that_cannot_be_built_again(tmp_path):
    path = tmp_path / "file.nx"
    with pytest.raises(ArgumentError, match=r"got function at 'Pair\(args\).0'; leave it out"):
        nx.save(Pair(lambda: 0, None), path)
    model = Wrong()
    round_trip(model, tmp_path, [Wrong, Scale])
    with pytest.raises(ArgumentError, match="save: expected a Wrong that can be built again, got .*not five times"):
        nx.save(model, path)
    assert [p.name for p in tmp_path.iterdir()] == ["file.nx"]


def test_a_file_is_replaced_in_one_step(tmp_path, monkeypatch):
    path = tmp_path / "file.nx"
    nx.save({"a": 1}, path)

    def broken(_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        nx.save({"a": 2}, path)
    assert nx.load(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["file.nx"]


# --- other libraries


def test_the_safetensors_package_reads_it(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    from safetensors.numpy import load_file, save_file

    model = nn.Sequential(trained(3), trained(2))
    nx.save(model, tmp_path / "model.nx")
    arrays = load_file(tmp_path / "model.nx")
    assert sorted(arrays) == sorted(model.state_dict())
    assert_same_bits(arrays["1.weight"], model[1].weight)
    with safetensors.safe_open(tmp_path / "model.nx", "numpy") as file:
        assert json.loads(file.metadata()["neurenix.tree"])["module"]["record"]["class"] == "neurenix.nn.Sequential"
    save_file({"x": np.arange(3.0)}, tmp_path / "other.safetensors")
    assert nx.load(tmp_path / "other.safetensors")["x"].tolist() == [0, 1, 2]


def raw(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor_entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "0 bytes"),
        (b"1234567", "7 bytes"),
        (b"\xff" * 64, "64 bytes that begin"),
        (b"PK\x03\x04" + b"\0" * 60, "a zip file"),
        (b"\x80\x02}q\x00.", "a pickle"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 60, "a PNG image"),
        (raw(b"[1, 2]"), "not a JSON object"),
        (raw(b"{" * 1000), "not JSON"),
        (raw(b'{"a":' * 100_000), "not JSON"),
        (raw(b'{"a": 1, "a": 2}'), "not JSON"),
        (raw(b"\xff\xfe\xfd"), "not JSON"),
        (raw({"x": 5}), "5 for tensor 'x'"),
        (raw({"x": tensor_entry([2**60], 0, 2**62)}), "0 bytes of data where the header has"),
        (raw({"x": tensor_entry([2**60], 0, 4)}, b"abcd"), "4 bytes for tensor 'x' of shape"),
        (raw({"x": tensor_entry([2**40, 2**40], 0, 2**82)}), "0 bytes of data"),
        (raw({"x": tensor_entry([1], -4, 0)}), "for tensor 'x'"),
        (raw({"x": tensor_entry([True], 0, 4)}, b"abcd"), "for tensor 'x'"),
        (raw({"x": tensor_entry([1.0], 0, 4)}, b"abcd"), "for tensor 'x'"),
        (raw({"x": tensor_entry([1], 0, 4), "y": tensor_entry([1], 0, 4)}, b"abcd"), "tensor 'y' at byte 0 where 4 is next"),
        (raw({"x": tensor_entry([1], 4, 8)}, b"abcdabcd"), "at byte 4 where 0 is next"),
        (raw({"x": tensor_entry([1], 0, 4)}, b"abcdabcd"), "8 bytes of data where the header has 4"),
        (raw({"x": tensor_entry([1], 0, 4, "F8_E5M2")}, b"abcd"), "element type 'F8_E5M2'"),
        (raw({"__metadata__": {"a": 1}}), "metadata that is not a mapping of texts"),
        (raw({"__metadata__": {"neurenix.tree": "1"}}), "do not fit their checksum"),
    ],
)
def test_files_that_are_not_what_they_should_be(tmp_path, content, got):
    path = tmp_path / "file.nx"
    path.write_bytes(content)
    nx.empty_cache()
    nx.reset_peak()
    with pytest.raises(FileError) as caught:
        nx.load(path)
    assert got in str(caught.value)
    assert str(caught.value).startswith("load: expected")


def signed(tree, entries=None, data=b""):
    """A file with these metadata whose checksum is right."""
    from neurenix.serialization.safetensors import _header_sum

    metadata = {"format": "neurenix", "neurenix.tree": tree if isinstance(tree, str) else json.dumps(tree)}
    metadata["neurenix.checksum"] = f"{_header_sum(entries or {}, metadata, zlib.crc32(data)):08x}"
    return raw({"__metadata__": metadata, **(entries or {})}, data)


def model_tree(record, **more):
    return {"module": {"record": record, "shared": [], "names": {}, "frozen": [], **more}}


@pytest.mark.parametrize(
    ("tree", "got"),
    [
        ("[", "metadata that cannot be read"),
        ("[" * 100_000, "metadata that cannot be read"),
        ({"unknown": 1}, "expected a stored value"),
        ({"float": "abc"}, "expected a stored value"),
        ({"array": "x"}, "expected a stored value"),
        ({"dict": [[[], 1]]}, "expected a stored value"),
        ({"module": 3}, "expected the JSON of a model"),
        (model_tree(4), "expected the record of a module"),
        (model_tree({"class": "os.system"}), "expected the class 'os.system'"),
        (model_tree({"class": "neurenix.nn.functional.relu"}), "expected the class"),
        (model_tree({"class": "neurenix.serialization.load"}), "expected the class"),
        (model_tree({"class": "neurenix.nn.Sequential", "args": [1]}), "expected arguments that Sequential takes"),
        (model_tree({"class": "neurenix.nn.Sequential", "kwargs": {"dict": [["a", 1]]}}), "expected arguments that Sequential takes"),
        (model_tree({"class": "neurenix.nn.Sequential"}, names={"a": "b"}), "expected the arrays of Sequential, got differences: a is"),
        (model_tree({"class": "neurenix.nn.Sequential"}, shared=[["", "a", "b"]]), "expected shared modules that are there"),
        (model_tree({"class": "neurenix.nn.Sequential", "children": {"3": {"class": "x"}}}), "expected changes that Sequential can take"),
        (model_tree({"class": "a.Scale", "args": [10**18]}), "expected the arrays of Scale"),
        (model_tree({"class": "a.Scale", "args": [10**30]}), "expected arguments that Scale takes"),
        (model_tree({"class": "a.Scale", "args": [-1]}), "expected arguments that Scale takes"),
        (model_tree({"class": "neurenix.nn.Module", "added": {"a": ["Parameter", [10**17], "float32"]}}), "expected the arrays of Module"),
        (model_tree({"class": "neurenix.nn.Module", "added": {"a": ["Parameter", [10**30], "float32"]}}), "expected changes"),
    ],
)
def test_metadata_that_are_not_what_they_should_be(tmp_path, tree, got):
    path = tmp_path / "file.nx"
    path.write_bytes(signed(tree))
    nx.reset_peak()
    before = nx.memory_stats()["live"]
    with pytest.raises(FileError) as caught:
        nx.load(path, classes=CLASSES)
    assert got in str(caught.value)
    assert nx.memory_stats()["peak"] <= before + (1 << 20)


def test_every_cut_and_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "file.nx"
    nx.save(nn.Sequential(trained(3)), path)
    content = path.read_bytes()
    damaged = tmp_path / "damaged.nx"
    for size in [*range(0, len(content), 7), len(content) - 1]:
        damaged.write_bytes(content[:size])
        with pytest.raises(FileError):
            nx.load(damaged, classes=CLASSES)
    for bit in range(0, len(content) * 8, 13):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(flipped)
        with pytest.raises(FileError):
            nx.load(damaged, classes=CLASSES)


def test_headers_of_every_length(tmp_path):
    """A header of 640, 1152 or 1408 bytes begins with the bytes of a pickle."""
    starts = set()
    for n in range(300, 1300, 8):
        nx.save({"text": "x" * n}, tmp_path / "a.nx")
        starts.add((tmp_path / "a.nx").read_bytes()[:2])
        assert nx.load(tmp_path / "a.nx") == {"text": "x" * n}
    assert {b"\x80\x02", b"\x80\x04", b"\x80\x05"} <= starts


def test_a_missing_file_is_pythons_own_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        nx.load(tmp_path / "nothing.nx")
    with pytest.raises(FileNotFoundError):
        nx.save({"a": 1}, tmp_path / "nowhere" / "file.nx")


def test_through_a_link(tmp_path):
    (tmp_path / "link.nx").symlink_to(tmp_path / "real.nx")
    nx.save({"a": 1}, str(tmp_path / "link.nx"))
    assert Path(tmp_path / "link.nx").is_symlink()
    assert nx.load(tmp_path / "real.nx") == {"a": 1}


HUGE = [
    ("multiscale.UNet", [3, 1, [10**9]]),
    ("multiscale.UNet", [10**9, 1]),
    ("multiscale.UNet", [3, 1, [10**9] * 30]),
    ("multiscale.PyramidNetwork", [3, 1, 32, 10**9]),
    ("multiscale.PyramidNetwork", [3, 1, 10**9, 1]),
    ("multiscale.SpatialPyramidPooling", [10**9]),
    ("multiscale.FeatureFusion", [[10**9, 10**9], 10**9]),
    ("nn.Conv2d", [10**9, 10**9, 10**4]),
    ("nn.Linear", [10**6, 10**7]),
    ("nn.BatchNorm2d", [10**13]),
    ("nn.GroupNorm", [10**9, 10**12]),
    ("nn.LayerNorm", [10**13]),
    ("nn.PReLU", [10**13]),
]


@pytest.mark.parametrize(("kind", "args"), HUGE)
def test_huge_arguments_take_no_memory(tmp_path, kind, args):
    path = tmp_path / "file.nx"
    path.write_bytes(signed(model_tree({"class": f"neurenix.{kind}", "args": args})))
    nx.reset_peak()
    before = nx.memory_stats()["live"]
    with pytest.raises(FileError) as caught:
        nx.load(path)
    assert len(str(caught.value)) < 3000
    assert nx.memory_stats()["peak"] <= before + (1 << 20)


GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.nx"))


def test_golden_files_load_for_ever():
    assert GOLDEN
    for path in GOLDEN:
        saved = nx.load(path, classes=[Scale])
        model, x, y = saved["model"], saved["x"], saved["y"]
        assert not model.training
        assert not any(p.requires_grad for p in model.bottleneck.parameters())
        with nx.no_grad(), nx.set_float32_precision("ieee"):
            np.testing.assert_allclose(model(x).numpy(), y, rtol=1e-5, atol=1e-6)
        optimizer = nx.optim.Adam(model.parameters())
        optimizer.load_state_dict(saved["optimizer"])
        assert optimizer.param_groups[0]["lr"] == 1e-2
        assert saved["extra"].weight.tolist() == [2.5, 2.5]
