"""Optimizers: rules by hand, groups, states, saving, errors."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, FileError, GraphError, ShapeError
from neurenix.testing import random_array

NAMES = ["SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Lion", "RMSprop", "Adagrad", "Adadelta", "Rprop", "ASGD"]
SETTINGS = [(name, {}) for name in NAMES] + [
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
]


def parameter(*shape, seed=0, dtype=np.float64):
    return nx.Tensor(random_array(*shape, seed=seed).astype(dtype), requires_grad=True)


def run(name, settings, steps, parameters, start=0):
    optimizer = getattr(nx.optim, name)(parameters, **settings)
    return optimizer, advance(optimizer, steps, parameters, start)


def advance(optimizer, steps, parameters, start=0):
    for t in range(start, start + steps):
        for i, p in enumerate(parameters):
            p.grad = nx.Tensor(random_array(*p.shape, seed=100 * t + i).astype(p.dtype))
        optimizer.step()
    return [p.numpy().copy() for p in parameters]


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_saved_and_resumed_is_the_same_bits(name, settings):
    shapes = [(3, 4), (7,), ()]
    _, want = run(name, settings, 6, [parameter(*s, seed=i) for i, s in enumerate(shapes)])
    first, middle = run(name, settings, 3, [parameter(*s, seed=i) for i, s in enumerate(shapes)])
    saved = first.state_dict()
    assert list(saved) == ["state", "param_groups"]
    assert saved["param_groups"][0]["params"] == [0, 1, 2]
    parameters = [nx.Tensor(m.copy(), requires_grad=True) for m in middle]
    second = getattr(nx.optim, name)(parameters, lr=123.0)
    second.load_state_dict(saved)
    for got, expected in zip(advance(second, 3, parameters, 3), want, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_bits_do_not_depend_on_threads_or_levels(name, settings, each_thread_count):
    from neurenix import _rust

    def values():
        return run(name, settings, 2, [parameter(300, 301, dtype=np.float32)])[1][0]

    results = each_thread_count(values)
    before = _rust.level()
    for level in _rust.levels():
        _rust.set_level(level)
        results.append(values())
    _rust.set_level(before)
    for result in results:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_step_goes_downhill_and_maximize_uphill(name):
    for maximize in (False, True):
        p = nx.tensor([1.0, -2.0], requires_grad=True)
        p.grad = nx.tensor([1.0, -1.0])
        getattr(nx.optim, name)([p], maximize=maximize).step()
        assert ((p.numpy() - [1.0, -2.0]) * [1, -1] * (-1 if maximize else 1) < 0).all()
        assert p._version == 1


def test_adam_by_hand():
    p, g = random_array(5), random_array(5, seed=1)
    t = nx.Tensor(p.copy(), requires_grad=True)
    optimizer = nx.optim.Adam([t], lr=0.1, betas=(0.5, 0.75), eps=0.01)
    m, v = 0, 0
    for step in (1, 2, 3):
        t.grad = nx.Tensor(g)
        optimizer.step()
        m, v = 0.5 * m + 0.5 * g, 0.75 * v + 0.25 * g**2
        p = p - 0.1 * (m / (1 - 0.5**step)) / (np.sqrt(v / (1 - 0.75**step)) + 0.01)
    np.testing.assert_allclose(t.numpy(), p, rtol=1e-12)


def test_amsgrad_divides_by_the_largest():
    t = nx.tensor([1.0], dtype="float64", requires_grad=True)
    optimizer = nx.optim.Adam([t], lr=0.1, betas=(0.0, 0.5), eps=0.0, amsgrad=True)
    for g in (4.0, 1.0):
        t.grad = nx.tensor([g], dtype="float64")
        optimizer.step()
    assert optimizer.state[t]["max_exp_avg_sq"].tolist() == [8.0]


def test_lion_by_hand():
    t = nx.tensor([1.0, 1.0, 1.0], requires_grad=True)
    t.grad = nx.tensor([2.0, -3.0, 0.0])
    nx.optim.Lion([t], lr=0.25).step()
    assert t.tolist() == [0.75, 1.25, 1.0]


def test_groups_have_settings_of_their_own():
    a, b = parameter(3), parameter(3)
    optimizer = nx.optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.0)
    a.grad = b.grad = nx.Tensor(np.ones(3))
    before = a.numpy().copy(), b.numpy().copy()
    optimizer.step()
    np.testing.assert_array_equal(a.numpy(), before[0] - 0.5)
    np.testing.assert_array_equal(b.numpy(), before[1])
    c = parameter(2)
    optimizer.add_param_group({"params": [c], "lr": 1.0})
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.0, 1.0]


def test_mixed_types_and_parameters_that_join_late():
    a, b, c = parameter(3), parameter(3, dtype=np.float32), parameter(2, 2)
    optimizer = nx.optim.SGD([a, b, c], lr=0.5, momentum=0.5)
    a.grad, b.grad = nx.Tensor(np.ones(3)), nx.Tensor(np.ones(3, np.float32))
    optimizer.step()
    c.grad = nx.Tensor(np.ones((2, 2)))
    before = c.numpy().copy()
    optimizer.step()
    np.testing.assert_array_equal(c.numpy(), before - 0.5)
    assert optimizer.state[a]["step"] == 2
    assert optimizer.state[c]["step"] == 1


def test_a_strided_parameter_and_gradient():
    p = nx.Tensor(np.arange(6.0).reshape(2, 3).T, requires_grad=True)
    p.grad = nx.Tensor(np.ones((2, 3)).T)
    nx.optim.SGD([p], lr=1.0).step()
    np.testing.assert_array_equal(p.numpy(), np.arange(6.0).reshape(2, 3).T - 1)


def test_zero_grad_and_closure():
    p = nx.tensor([2.0], requires_grad=True)
    optimizer = nx.optim.SGD([p], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = p * p
        loss.backward()
        return loss

    with nx.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert p.tolist() == [1.0]
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_a_graph_over_old_parameters_is_refused():
    p = nx.tensor([2.0], requires_grad=True)
    y = p * p
    p.grad = nx.tensor([1.0])
    nx.optim.SGD([p], lr=0.25).step()
    with pytest.raises(GraphError, match="overwritten since"):
        y.backward()


def test_loading_changes_nothing_on_error():
    p = parameter(3)
    optimizer, _ = run("Adam", {}, 1, [p])
    saved = optimizer.state_dict()
    for broken, text in (
        ({"param_groups": []}, "expected 'state' and 'param_groups'"),
        ({**saved, "param_groups": [{"params": [0, 1]}]}, r"expected groups of \[1\] parameters, got \[2\]"),
        ({**saved, "state": {0: {"exp_avg": np.zeros(4)}}}, r"expected exp_avg of shape \(3,\), got \(4,\)"),
    ):
        with pytest.raises(FileError, match=text):
            optimizer.load_state_dict(broken)
    assert optimizer.state[p]["step"] == 1


def test_errors():
    p = parameter(3)
    with pytest.raises(ArgumentError, match="Adam: expected parameters, got none"):
        nx.optim.Adam([])
    with pytest.raises(DTypeError, match="SGD: expected an iterable of parameters, got Tensor"):
        nx.optim.SGD(p)
    with pytest.raises(DTypeError, match="SGD: expected float tensors made by no operation"):
        nx.optim.SGD([p * 2])
    with pytest.raises(ArgumentError, match=r"SGD: expected each parameter once, got one of shape \(3,\) twice"):
        nx.optim.SGD([p, p])
    with pytest.raises(ArgumentError, match="Adam: expected lr of at least 0, got -1"):
        nx.optim.Adam([p], lr=-1)
    with pytest.raises(ArgumentError, match=r"Adam: expected two betas in \[0, 1\)"):
        nx.optim.Adam([p], betas=(0.9, 1.0))
    with pytest.raises(ArgumentError, match="SGD: expected momentum and no dampening with nesterov"):
        nx.optim.SGD([p], nesterov=True)
    with pytest.raises(ArgumentError, match="SGD: expected momentum of at least 0"):
        nx.optim.SGD([p], momentum=-0.5)
    with pytest.raises(ArgumentError, match="Rprop: expected etas"):
        nx.optim.Rprop([p], etas=(1.5, 2.0))
    with pytest.raises(ArgumentError, match="SGD: expected a dict with 'params'"):
        nx.optim.SGD([p]).add_param_group([p])
    p.grad = nx.Tensor(np.ones(2))
    with pytest.raises(ShapeError, match=r"SGD: expected a gradient float64\(3,\), got float64\(2,\)"):
        nx.optim.SGD([p]).step()


def test_named_parameters_are_kept_by_name():
    model = nx.nn.Linear(2, 1)
    optimizer = nx.optim.AdamW(model.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    a, b = parameter(2), parameter(2)
    groups = nx.optim.SGD([{"params": [("a", a)], "lr": 0.5}])
    groups.add_param_group({"params": [("b", b)]})
    assert [g["param_names"] for g in groups.param_groups] == [["a"], ["b"]]
    for call in (lambda: groups.add_param_group({"params": [parameter(1)]}), lambda: nx.optim.SGD([("a", a), b])):
        with pytest.raises(ArgumentError, match="SGD: expected names for all parameters or for none"):
            call()
    assert len(groups.param_groups) == 2


def test_printed_as_pytorch_prints():
    text = repr(nx.optim.SGD([{"params": [parameter(1)]}, {"params": [parameter(1)], "lr": 0.5}], momentum=0.9))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0.0\n    differentiable: False\n    foreach: None\n")
    assert "Parameter Group 1" in text
    assert "    lr: 0.5\n    maximize: False\n    momentum: 0.9\n" in text
    assert text.endswith("\n)")


@pytest.mark.parametrize("name", [n for n in NAMES if n != "Lion"])
def test_settings_without_effect_are_taken_and_recording_is_refused(name):
    p = parameter(2)
    optimizer = getattr(nx.optim, name)
    optimizer([p], foreach=True)
    with pytest.raises(ArgumentError, match=f"{name}: expected differentiable=False, got True; steps are not recorded"):
        optimizer([p], differentiable=True)
    if "fused" in optimizer([p]).defaults:
        with pytest.raises(ArgumentError, match=f"{name}: expected at most one of fused and foreach, got both"):
            optimizer([p], fused=True, foreach=True)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("NAdam", "momentum_decay"),
        ("Adagrad", "lr_decay"),
        ("Adagrad", "initial_accumulator_value"),
        ("ASGD", "lambd"),
        ("RMSprop", "alpha"),
    ],
)
def test_settings_out_of_range(name, setting):
    with pytest.raises(ArgumentError, match=f"{name}: expected {setting} of at least 0, got -0.5"):
        getattr(nx.optim, name)([parameter(2)], **{setting: -0.5})


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("Adam", {"betas": 0.9}, r"Adam: expected two betas in \[0, 1\), got 0.9; pass e.g. \(0.9, 0.999\)"),
        ("NAdam", {"betas": ("0.9", 0.99)}, r"NAdam: expected two betas in \[0, 1\), got \('0.9', 0.99\)"),
        ("Adamax", {"betas": None}, "Adamax: expected two betas"),
        ("Rprop", {"etas": 0.5}, "Rprop: expected etas with 0 < first < 1 < second, got 0.5"),
        ("Rprop", {"step_sizes": 1e-6}, "Rprop: expected two step_sizes, got 1e-06; pass the least and the most"),
    ],
)
def test_pairs_that_are_none(name, settings, text):
    with pytest.raises(ArgumentError, match=text):
        getattr(nx.optim, name)([parameter(2)], **settings)


def test_what_is_no_gradient_or_closure():
    p = parameter(2)
    optimizer = nx.optim.SGD([p], lr=0.5)
    p.grad = np.ones(2, np.float32)
    with pytest.raises(DTypeError, match="SGD: expected a tensor as grad, got ndarray; set p.grad = nx.tensor"):
        optimizer.step()
    with pytest.raises(DTypeError, match="SGD: expected a function of no argument as closure, got float"):
        optimizer.step(0.5)


def test_hooks_of_steps():
    p = nx.tensor([1.0], requires_grad=True)
    optimizer, log = nx.optim.SGD([p], lr=0.5), []
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: log.append((o is optimizer, p.item())))
    after = optimizer.register_step_post_hook(lambda o, args, kwargs: log.append((len(args), p.item())))
    p.grad = nx.tensor([1.0])
    optimizer.step()
    assert log == [(True, 1.0), (0, 0.5)]
    before.remove()
    after.remove()
    optimizer.step(lambda: None)
    assert len(log) == 2
    with pytest.raises(DTypeError, match="SGD: expected a callable hook, got int"):
        optimizer.register_step_pre_hook(1)


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_accumulated_gradients_are_those_of_the_big_batch(name, settings):
    """The pattern of docs/training.md: each part's mean loss, divided by the number of parts."""
    x, y = random_array(12, 4), random_array(12, 2, seed=1)
    nx.manual_seed(0)
    models = [nx.nn.Sequential(nx.nn.Linear(4, 5), nx.nn.Tanh(), nx.nn.Linear(5, 2)).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    for model, parts in zip(models, (1, 4), strict=True):
        optimizer = getattr(nx.optim, name)(model.parameters(), **settings)
        for _ in range(3):
            optimizer.zero_grad()
            for part in np.split(np.arange(12), parts):
                (nx.nn.functional.mse_loss(model(x[part]), y[part]) / parts).backward()
            optimizer.step()
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("rate", [np.float32(0.25), np.array(0.25), nx.tensor(0.25), nx.tensor([0.25])])
def test_settings_may_be_one_element_arrays(rate):
    for name in NAMES:
        p, q = nx.tensor([1.0], requires_grad=True), nx.tensor([1.0], requires_grad=True)
        for t, lr in ((p, rate), (q, 0.25)):
            optimizer = getattr(nx.optim, name)([t], lr=lr)
            assert type(optimizer.param_groups[0]["lr"]) is float
            optimizer.param_groups[0]["lr"] = lr
            t.grad = nx.tensor([1.0])
            optimizer.step()
        assert p.tolist() == q.tolist()


def test_a_gradient_that_does_not_fit_changes_nothing():
    """The parameters before it were once moved and counted."""
    first, second = (nx.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    optimizer = nx.optim.Adam([{"params": [first]}, {"params": [second]}], lr=0.5)
    first.grad, second.grad = nx.ones(2), nx.ones(3)
    with pytest.raises(ShapeError, match="Adam: expected a gradient"):
        optimizer.step()
    assert first.tolist() == [1.0, 2.0] and not optimizer.state


def test_momentum_and_rho_are_checked():
    p = nx.tensor([1.0], requires_grad=True)
    for make, name in ((nx.optim.RMSprop, "momentum"), (nx.optim.SGD, "momentum"), (nx.optim.Adadelta, "rho")):
        with pytest.raises(ArgumentError, match=f"{make.__name__}: expected {name}"):
            make([p], **{name: -1.0})
    with pytest.raises(ArgumentError, match="Adadelta: expected rho in"):
        nx.optim.Adadelta([p], rho=1.5)


@pytest.mark.parametrize("name", ["Adam", "NAdam", "RAdam", "ASGD", "Adagrad", "RMSprop", "Adamax", "Rprop", "SGD"])
def test_parameters_of_one_age_with_other_pasts_are_stepped_as_each_alone(name):
    """One missed its second gradient, the other its third, and settings changed meanwhile: numbers in their states differ."""
    start, gradients = [random_array(3, seed=i) for i in range(2)], [[random_array(3, seed=10 * s + i) for i in range(2)] for s in range(5)]

    def run(chosen):
        params = {i: nx.Tensor(start[i].copy(), requires_grad=True) for i in chosen}
        optimizer = getattr(nx.optim, name)(list(params.values()), lr=0.1)
        for s in range(5):
            (group,) = optimizer.param_groups
            group["lr"] = 0.1 / (s + 1)
            if "betas" in group:
                group["betas"] = (0.9 - 0.1 * s, 0.99)
            for i, p in params.items():
                p.grad = None if s == i + 1 else nx.Tensor(gradients[s][i])
            optimizer.step()
        return {i: p.numpy() for i, p in params.items()}

    both = run([0, 1])
    for i in range(2):
        assert np.array_equal(both[i], run([i])[i])
