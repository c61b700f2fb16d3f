"""From and to other libraries: NumPy's operators and functions, DLPack, copies and pickles, foreign tensors by ``__array__``."""

import copy
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import BackendUnavailableError, DeviceError, DTypeError, GraphError

A = np.array([[1.0, 2.0], [3.0, 5.0]], np.float32)
OLD_NUMPY = np.lib.NumpyVersion(np.__version__) < "2.1.0"


class Foreign:
    """Another library's tensor, which gives its values by ``__array__``."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype) if dtype is not None else self.array


class Exporter:
    """Another library's tensor, which gives its memory by DLPack; an old one knows no keyword but ``stream``."""

    def __init__(self, array, device=(1, 0), old=False, error=None):
        self.array, self.device, self.old, self.error = array, device, old, error

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **settings):
        if self.error is not None:
            raise self.error
        if self.old and settings.keys() - {"stream"}:
            raise TypeError("unexpected keyword argument 'max_version'")
        return self.array.__dlpack__(**settings)


# --- NumPy's operators and functions


@pytest.mark.parametrize(
    "run",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: a // b,
        lambda a, b: a % b,
        lambda a, b: a**b,
        lambda a, b: a @ b,
        lambda a, b: a < b,
        lambda a, b: a <= b,
        lambda a, b: a > b,
        lambda a, b: a >= b,
        lambda a, b: a == b,
        lambda a, b: a != b,
        np.add,
        np.maximum,
        np.arctan2,
        np.matmul,
    ],
)
def test_operators_beside_arrays_give_tensors(run):
    b = A[::-1].copy()
    for got in (run(A, nx.tensor(b)), run(nx.tensor(A), b), run(nx.tensor(A), nx.tensor(b))):
        assert isinstance(got, nx.Tensor)
        np.testing.assert_allclose(got.numpy(), run(A, b), rtol=1e-6)


def test_numpys_scalars_are_weak():
    for got in (np.float64(2) * nx.tensor(A), nx.tensor(A) * np.float64(2), np.float64(2) + nx.tensor(A)):
        assert isinstance(got, nx.Tensor) and got.dtype == np.float32


@pytest.mark.parametrize(
    "run",
    [np.exp, np.sqrt, np.log1p, np.negative, np.abs, np.rint, np.isnan, np.logical_not, np.tanh, np.arcsin, np.square, np.sign, np.floor],
)
def test_elementwise_functions_give_tensors(run):
    a = A / 6
    got = run(nx.tensor(a))
    assert isinstance(got, nx.Tensor)
    np.testing.assert_allclose(got.numpy(), run(a), rtol=1e-6)


@pytest.mark.parametrize("run", [np.sum, np.mean, np.prod, np.max, np.min, np.std, np.var, np.argmax, np.argmin, np.any, np.all])
@pytest.mark.parametrize("settings", [{}, {"axis": 0}, {"axis": 1, "keepdims": True}])
def test_reductions_give_tensors(run, settings):
    got = run(nx.tensor(A), **settings)
    assert isinstance(got, nx.Tensor) and got.shape == np.shape(run(A, **settings))
    np.testing.assert_allclose(got.numpy(), run(A, **settings), rtol=1e-6)


@pytest.mark.parametrize(
    "run",
    [
        lambda x: np.concatenate([x, A], axis=1),
        lambda x: np.stack((x, x), 1),
        lambda x: np.where(A > 2, x, 0.0),
        lambda x: np.clip(x, 1.5, None),
        lambda x: np.clip(x, a_min=1.5, a_max=2),
        lambda x: np.reshape(x, (4, 1)),
        lambda x: np.squeeze(np.expand_dims(x, axis=1), axis=1),
        np.transpose,
        lambda x: np.transpose(x, (1, 0)),
        lambda x: np.moveaxis(x, 0, 1),
        lambda x: np.swapaxes(x, 0, 1),
        np.ravel,
        lambda x: np.std(x, ddof=1),
        np.zeros_like,
        np.ones_like,
    ],
)
def test_functions_that_arrange_give_tensors(run):
    got = run(nx.tensor(A))
    assert isinstance(got, nx.Tensor)
    np.testing.assert_allclose(got.numpy(), run(A), rtol=1e-6)


def test_gradients_go_through_numpys_functions():
    x = nx.tensor(A, requires_grad=True)
    np.sum(np.exp(A * x)).backward()
    np.testing.assert_allclose(x.grad.numpy(), A * np.exp(A * A), rtol=1e-6)


def test_other_functions_see_the_values():
    x = nx.tensor(A)
    assert type(np.linalg.norm(x)) is np.float32
    assert type(np.median(x)) is np.float32
    assert np.allclose(A, x) and np.array_equal(x, A)
    assert type(np.vstack([x, x])) is np.ndarray
    assert np.asarray(x, np.float64).dtype == np.float64 and np.array(x).flags.writeable
    if not OLD_NUMPY:  # which took False for "where needed"
        with pytest.raises(ValueError, match="copy"):
            np.array(x, dtype=np.float64, copy=False)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: np.add(A, A, out=x), "numpy.add: expected arrays, got a Tensor and out=, which a tensor is not written to"),
        (lambda x: np.add(A.copy(), x, out=A.copy()), "numpy.add: expected arrays, got a Tensor and out="),
        (np.add.reduce, "numpy.add.reduce: expected arrays, got a Tensor and a method of the function"),
        (lambda x: np.exp(x, where=A > 1), "numpy.exp: expected arrays, got a Tensor and where; pass x.numpy()"),
        (np.spacing, "numpy.spacing: expected arrays, got a Tensor, for which it has no counterpart; pass x.numpy()"),
        (lambda x: np.sum(x, 0, np.float64), "numpy.sum: expected arrays, got a Tensor with arguments that it does not take"),
        (lambda x: np.sum(x, where=A > 1), "numpy.sum: expected arrays, got a Tensor with arguments that it does not take"),
        (lambda x: np.array(["a", "b"]) + x, "expected float16, float32, float64, an integer type or bool"),
    ],
)
def test_what_numpy_cannot_do_is_said(call, text):
    with pytest.raises(DTypeError) as raised:
        call(nx.tensor(A))
    assert text in str(raised.value)


def test_in_place_on_an_array_is_refused():
    a = A.copy()
    with pytest.raises(DTypeError, match=r"numpy\.add: expected arrays"):
        a += nx.tensor(A)
    assert np.array_equal(a, A)


def test_formats_of_one_element():
    assert f"{nx.tensor(1.5):.3f}" == "1.500" and f"{nx.tensor(7):04d}" == "0007"
    assert f"{nx.tensor([1.0])}" == "tensor([1.])"


# --- foreign tensors


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
def test_foreign_tensors_keep_their_type(dtype):
    array = A.astype(dtype)
    for make in (nx.Tensor, nx.tensor, lambda f: nx.nn.functional.relu(f) if dtype.startswith("float") else nx.Tensor(f)):
        got = make(Foreign(array))
        assert got.dtype == dtype and np.array_equal(got.numpy(), array)
    assert np.shares_memory(nx.Tensor(Foreign(array)).numpy(), array)
    assert not np.shares_memory(nx.tensor(Foreign(array)).numpy(), array)


def test_models_take_foreign_tensors():
    layer = nx.nn.Linear(2, 3)
    assert np.array_equal(layer(Foreign(A.astype(np.float64))).numpy(), layer(A).numpy())
    assert (nx.tensor(A) + Foreign(A)).dtype == np.float32


# --- DLPack


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool"])
@pytest.mark.parametrize("view", [lambda a: a, lambda a: a[::-1], lambda a: a[:, ::2].T, lambda a: a[:0], lambda a: np.array(a[0, 0])])
def test_dlpack_there_and_back(dtype, view):
    array = view((np.arange(12).reshape(3, 4) % 5).astype(dtype))
    x = nx.from_dlpack(array)
    assert x.dtype == dtype and x.shape == array.shape and np.array_equal(x.numpy(), array)
    assert not array.size or np.shares_memory(x.numpy(), array)
    back = np.from_dlpack(nx.Tensor(array))
    assert back.dtype == dtype and np.array_equal(back, array)
    flipped = any(step < 0 for step in array.strides)  # which PyTorch cannot take
    assert not array.size or np.shares_memory(back, array) != flipped


def test_old_exporters_and_lifetimes():
    array = A.copy()
    x = nx.from_dlpack(Exporter(array, old=True)) if not OLD_NUMPY else nx.from_dlpack(Exporter(array))
    assert np.shares_memory(x.numpy(), array)
    before = sys.getrefcount(array)
    y = nx.from_dlpack(array)
    assert sys.getrefcount(array) > before
    del y
    assert sys.getrefcount(array) == before


def test_read_only_memory_stays_so():
    array = A.copy()
    array.flags.writeable = False
    x = nx.Tensor(array) if OLD_NUMPY else nx.from_dlpack(array)
    assert np.array_equal((x + 1).numpy(), A + 1)
    with pytest.raises(ValueError, match="read-only"):
        x.data[0] = 1
    with pytest.raises(BufferError, match="readonly"):
        x.__dlpack__()
    if not OLD_NUMPY:
        assert not np.from_dlpack(x).flags.writeable
        assert np.from_dlpack(x, copy=True).flags.writeable


def test_what_another_library_writes_is_noticed():
    layer = nx.nn.Conv2d(1, 1, 1, bias=False)
    image = nx.tensor(np.ones((1, 1, 1, 1), np.float32))
    layer(image)
    shared = np.asarray(layer.weight.data)
    np.from_dlpack(layer.weight)
    shared[:] = 3.0
    assert layer(image).item() == 3.0


def test_copies_and_devices():
    array = A.copy()
    assert not np.shares_memory(nx.from_dlpack(array, copy=True).numpy(), array)
    assert np.shares_memory(nx.from_dlpack(array, device="cpu", copy=False).numpy(), array)
    assert nx.from_dlpack(array).__dlpack_device__() == (1, 0)
    assert np.shares_memory(nx.from_dlpack(Exporter(array, device=(3, 0))).numpy(), array)
    if not OLD_NUMPY:
        x = nx.Tensor(array)
        assert not np.shares_memory(np.from_dlpack(x, copy=True), array)
        assert np.shares_memory(np.from_dlpack(x, device="cpu"), array)
        with pytest.raises(BufferError):
            x.__dlpack__(dl_device=(2, 0))


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        ([1.0], DTypeError, "from_dlpack: expected an object with __dlpack__, got list; pass an array"),
        (Exporter(A, device=(8, 0)), DeviceError, "expected memory on the CPU or a CUDA device, got DLPack's device type 8; copy it"),
        (Exporter(A, error=BufferError("tensors that require gradient")), DTypeError, "(tensors that require gradient); detach it"),
        (np.ones(2, complex), DTypeError, "expected float16, float32, float64, an integer type or bool, got complex128"),
    ],
)
def test_what_dlpack_cannot_share_is_said(source, kind, text):
    with pytest.raises(kind) as raised:
        nx.from_dlpack(source)
    assert text in str(raised.value)


def test_memory_of_a_gpu_needs_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendUnavailableError, match="cuda: expected CuPy, got"):
        nx.from_dlpack(Exporter(A, device=(2, 0)))


# --- copies and pickles

WAYS = [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v)), lambda v: pickle.loads(pickle.dumps(v, protocol=2))]


@pytest.mark.parametrize("twin_of", WAYS)
@pytest.mark.parametrize("array", [A, A.T, A[::-1], A[:0], np.array(A[0, 0]), A.astype(bool), A.astype(np.float16)], ids=str)
def test_copies_of_tensors(twin_of, array):
    x = nx.Tensor(array)
    twin = twin_of(x)
    assert twin.dtype == x.dtype and np.array_equal(twin.numpy(), array) and not np.shares_memory(twin.numpy(), array)


@pytest.mark.parametrize("twin_of", WAYS)
def test_copies_keep_what_belongs_to_a_leaf(twin_of):
    p = nx.nn.Parameter(A.copy())
    (p * p).sum().backward()
    twin = twin_of(p)
    assert type(twin) is nx.nn.Parameter and twin.requires_grad
    assert twin.grad is None  # as PyTorch has it for parameters
    (twin * 1).sum().backward()
    assert np.array_equal(twin.grad.numpy(), np.ones_like(A)) and np.array_equal(p.grad.numpy(), 2 * A)
    buffer, shared = twin_of([nx.nn.Buffer(A.copy())] * 2)
    assert type(buffer) is nx.nn.Buffer and buffer is shared


@pytest.mark.parametrize("twin_of", WAYS)
def test_results_are_refused(twin_of):
    x = nx.tensor(A, requires_grad=True)
    with pytest.raises(GraphError, match=r"expected a leaf, got the result of an operation.*copy x\.detach\(\)"):
        twin_of(x * 2)
    assert np.array_equal(twin_of((x * 2).detach()).numpy(), 2 * A)


def test_a_shallow_copy_is_the_same_memory_and_graph():
    x = nx.tensor(A, requires_grad=True)
    twin = copy.copy(x * 3)
    twin.sum().backward()
    assert np.array_equal(x.grad.numpy(), np.full_like(A, 3))
    p = nx.nn.Parameter(A.copy())
    assert type(copy.copy(p)) is nx.nn.Parameter and np.shares_memory(copy.copy(p).numpy(), p.numpy())


def test_kernels_own_layouts_do_not_travel():
    layer = nx.nn.Conv2d(16, 16, 3, padding=1)
    size = len(pickle.dumps(layer))
    layer(nx.randn(1, 16, 16, 16))
    assert len(pickle.dumps(layer)) == size


def double(module, args, output):
    return output * 2


@pytest.mark.parametrize("twin_of", WAYS)
def test_copies_of_models(twin_of):
    model = nx.multiscale.UNet(1, 1, features=[4, 8], norm="instance")
    model.decoder[0].first[0].register_forward_hook(double)
    model.head.weight.requires_grad_(False)
    model.encoder[1].second[0].weight = model.encoder[1].second[0].weight
    x = nx.randn(2, 1, 8, 8)
    model(x).sum().backward()
    model.get_encoder_features()
    model.encoder[0].eval()
    twin = twin_of(model)
    assert [m.training for m in twin.modules()] == [m.training for m in model.modules()]
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert np.array_equal(a.numpy(), b.numpy()) and not np.shares_memory(a.numpy(), b.numpy())
        assert a.requires_grad == b.requires_grad and b.grad is None
    assert np.array_equal(model.eval()(x).numpy(), twin.eval()(x).numpy())
    with pytest.raises(GraphError, match="call the model"):
        twin_of(model).get_encoder_features()


@pytest.mark.parametrize("twin_of", WAYS)
def test_a_copy_of_a_pyramid_starts_without_a_last_pass(twin_of):
    pyramid = nx.multiscale.PyramidDownsample(2)
    pyramid(nx.randn(1, 1, 4, 4).requires_grad_())
    with pytest.raises(GraphError, match="call"):
        twin_of(pyramid).get_level(0)
    assert pyramid.get_level(1).shape == (1, 1, 2, 2)


@pytest.mark.parametrize("twin_of", WAYS)
def test_shared_weights_stay_shared(twin_of):
    layer = nx.nn.Linear(2, 2)
    twin = twin_of(nx.nn.Sequential(layer, nx.nn.ReLU(), layer))
    assert twin[0] is twin[2] and twin[0].weight is twin[2].weight and twin.num_parameters() == 6


@pytest.mark.parametrize("twin_of", WAYS)
@pytest.mark.parametrize("kind", [nx.optim.SGD, nx.optim.Adam])
def test_models_and_optimizers_train_on_together(twin_of, kind):
    def step(model, optimizer):
        optimizer.zero_grad()
        model(A).pow(2).sum().backward()
        optimizer.step()

    model = nx.nn.Linear(2, 3)
    optimizer = kind(model.parameters(), lr=0.1, **({"momentum": 0.9} if kind is nx.optim.SGD else {}))
    step(model, optimizer)
    pair = twin_of((model, optimizer))
    for _ in range(2):
        step(model, optimizer), step(*pair)
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(model.parameters(), pair[0].parameters(), strict=True))


def _square(pair):
    model, x = pair
    out = model(x)
    return model, (out * out).detach()


def test_across_processes():
    pair = nx.nn.Sequential(nx.nn.Conv2d(1, 4, 3), nx.nn.BatchNorm2d(4)), nx.randn(2, 1, 5, 5)
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        model, out = pool.apply(_square, (pair,))
    want = pair[0](pair[1])
    assert np.array_equal(out.numpy(), (want * want).detach().numpy())
    assert np.array_equal(model[1].running_mean.numpy(), pair[0][1].running_mean.numpy())


def test_a_pickle_is_read_by_a_fresh_process(tmp_path):
    (tmp_path / "p").write_bytes(pickle.dumps(nx.nn.Linear(2, 1)))
    code = f"import pickle; print(pickle.load(open({str(tmp_path / 'p')!r}, 'rb')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("Linear(")
