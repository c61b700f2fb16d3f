"""Weights of other libraries: by name from mappings, safetensors and .npz files."""

import io
import json
import zipfile

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, FileError, StateError
from neurenix.nn import Conv2d, Linear, ReLU, Sequential

X = np.arange(6, dtype=np.float32).reshape(2, 3)


class Foreign:
    """A tensor of another library: nothing but ``__array__``; one that is recorded must be detached, one on a GPU copied first."""

    def __init__(self, array, recorded=False, far=False):
        self.array, self.recorded, self.far = array, recorded, far

    def detach(self):
        return Foreign(self.array, False, self.far)

    def cpu(self):
        return Foreign(self.array, self.recorded, False)

    def __array__(self, dtype=None, copy=None):
        if self.recorded or self.far:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad, or is on a GPU")
        return np.asarray(self.array, dtype)


def model():
    return Sequential(Linear(3, 2), ReLU(), Linear(2, 1))


def state(prefix=""):
    return {f"{prefix}{n}": t.numpy().copy() for n, t in model().state_dict().items()}


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrappers_names_are_cut_off(prefix):
    own, given = model(), state(prefix)
    assert nx.load_weights(own, given) == ([], [])
    assert np.array_equal(own[0].weight.numpy(), given[f"{prefix}0.weight"])


def test_a_models_own_prefix_stays():
    class Wrapped(nx.nn.Module):
        def __init__(self):
            self.module = Linear(3, 2)

    given = {"module.weight": X, "module.bias": np.zeros(2, np.float32)}
    own = Wrapped()
    nx.load_weights(own, given)
    assert np.array_equal(own.module.weight.numpy(), X)


def test_a_part_of_a_larger_network():
    own = model()
    assert nx.load_weights(own, {**state("backbone."), "head.weight": X}, prefix="backbone.") == ([], [])
    with pytest.raises(FileError, match=r"expected names that begin with 'body\.', got \['backbone\.0\.weight'"):
        nx.load_weights(own, state("backbone."), prefix="body.")


def test_missing_and_unexpected_are_reported():
    given = state()
    del given["2.bias"]
    given["fc.weight"], given["aux.bias"] = X, X
    own = model()
    with pytest.raises(StateError, match=r"missing 2\.bias; unexpected fc\.weight, aux\.bias"):
        nx.load_weights(own, given)
    with pytest.raises(StateError, match=r"missing 2\.bias; unexpected aux\.bias"):
        nx.load_weights(own, given, ignore=["fc."])
    assert nx.load_weights(own, given, strict=False, ignore=["fc."]) == (["2.bias"], ["aux.bias", "fc.weight"])


def test_foreign_tensors_and_floating_types():
    own = Linear(3, 2).double()
    nx.load_weights(own, {"weight": Foreign(X, recorded=True, far=True), "bias": np.array([1, 2], np.float16)})
    assert own.weight.dtype == own.bias.dtype == np.float64
    assert np.array_equal(own.weight.numpy(), X) and own.bias.tolist() == [1.0, 2.0]
    own.load_state_dict({"weight": Foreign(X.astype(float), recorded=True), "bias": Foreign(np.zeros(2), far=True)})
    assert own.bias.tolist() == [0.0, 0.0]


def test_a_wrong_shape_writes_nothing():
    own = Linear(3, 2)
    before = own.weight.numpy().copy()
    with pytest.raises(StateError, match=r"wrong shape for bias: \(3,\) where the model has \(2,\)"):
        nx.load_weights(own, {"weight": X, "bias": np.zeros(3)}, strict=False)
    assert np.array_equal(own.weight.numpy(), before)


def test_adaption_changes_the_first_convolution_only():
    own, w = Sequential(Conv2d(1, 2, 3), Conv2d(2, 2, 3)), np.ones((2, 3, 3, 3), np.float32)
    given = {"0.weight": w, "0.bias": np.zeros(2), "1.weight": np.ones((2, 3, 3, 3)), "1.bias": np.zeros(2)}
    with pytest.raises(StateError, match=r"wrong shape for 0\.weight"):
        nx.load_weights(own, given)
    with pytest.raises(StateError, match=r"got wrong shape for 1\.weight: \(2, 3, 3, 3\)"):
        nx.load_weights(own, given, adapt_input=True)
    nx.load_weights(own, {**given, "1.weight": np.ones((2, 2, 3, 3))}, adapt_input=True)
    assert np.array_equal(own[0].weight.numpy(), np.full((2, 1, 3, 3), 3.0))


def test_files(tmp_path):
    given = state()
    nx.save(given, tmp_path / "tree.nx")
    np.savez(tmp_path / "plain.npz", **given)
    np.savez_compressed(tmp_path / "small.npz", **given)
    for path in ("tree.nx", "plain.npz", "small.npz"):
        own = model()
        nx.load_weights(own, tmp_path / path)
        assert np.array_equal(own[2].weight.numpy(), given["2.weight"])
    assert {n: t.tolist() for n, t in nx.load(tmp_path / "plain.npz").items()} == {n: a.tolist() for n, a in given.items()}


def test_bfloat16_becomes_float32(tmp_path):
    values = np.array([1.0, -2.5, 3.140625, np.inf], np.float32)
    data = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    got = nx.load(tmp_path / "w.safetensors")["w"]
    assert got.dtype == np.float32 and np.array_equal(got.numpy().ravel(), values)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "uint8", "bool", ">f4"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3, 4)])
def test_npz_of_every_type(tmp_path, dtype, shape):
    a = np.array(np.arange(int(np.prod(shape))).reshape(shape), dtype, order="F")
    np.savez(tmp_path / "a.npz", a=a)
    got = nx.load(tmp_path / "a.npz")["a"].numpy()
    assert got.dtype == a.dtype.newbyteorder("=") and got.shape == shape and np.array_equal(got, a)


def test_npz_that_are_not_what_they_should_be(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.array([object()], object))
    with pytest.raises(FileError, match=r"elements of type object for 'a\.npy'"):
        nx.load(path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", header.getvalue())
    with pytest.raises(FileError, match=r"bytes for 'a\.npy' of shape \(1000000000000,\)"):
        nx.load(path)
    for line in ("'descr': '<,8'", "'descr': '<08'", "'descr': ('<f8'", "b'descr': '<f8'"):  # each of which NumPy answers by another error
        bad = f"{{{line}, 'fortran_order': False, 'shape': (0,), }}".ljust(117).encode() + b"\n"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(bad).to_bytes(2, "little") + bad)
        with pytest.raises(FileError, match="a header that is none"):
            nx.load(path)
    np.savez(path, a=np.zeros(1000))
    content = path.read_bytes()
    path.write_bytes(content[:500] + b"\1" + content[501:])
    with pytest.raises(FileError, match=r"cannot be read \(Bad CRC"):
        nx.load(path)


def test_pytorchs_own_format_says_how_to_convert_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/version", b"3")
    for read in (nx.load, lambda path: nx.load_weights(model(), path)):
        with pytest.raises(FileError, match=r"a zip file \(PyTorch's format holds pickles\).*safetensors\.torch\.save_file\(torch\.load"):
            read(tmp_path / "model.pth")
    (tmp_path / "old.pth").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(FileError, match=r"a pickle .*safetensors\.torch\.save_file"):
        nx.load(tmp_path / "old.pth")


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: nx.load_weights({}, {}), DTypeError, "load_weights: expected a module, got dict; pass the model first"),
        (lambda: nx.load_weights(model(), 3), DTypeError, "expected a path or a mapping of names to arrays, got int"),
        (lambda: nx.load_weights(model(), {}, ignore="fc."), ArgumentError, "expected ignore as a list of beginnings, got 'fc.'"),
        (lambda: nx.load_weights(Linear(3, 2), {"weight": object()}), DTypeError, "expected an array for weight, got object"),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind) as raised:
        call()
    assert text in str(raised.value)
