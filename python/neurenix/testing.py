"""Checks of gradients and bits, for the library's own tests and for operations that users write.

Three cheap checks catch every wrong backward rule seen in released libraries: the adjoint identity for linear operations, a
directional derivative for the others, and the same tensor used twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neurenix import autograd
from neurenix.tensor import Tensor

HostArray = np.ndarray[Any, Any]


def random_array(*shape: int, seed: int = 0, dtype: Any = np.float64) -> HostArray:
    """Numbers of a standard normal distribution, the same for a ``seed`` and shape; float64 unless ``dtype`` says otherwise.

    Examples
    --------
    >>> from neurenix.testing import random_array
    >>> x = random_array(2, 3)
    >>> x.shape, bool((x == random_array(2, 3)).all())
    ((2, 3), True)
    """
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape), dtype)


def assert_same_bits(got: Any, want: Any) -> None:
    """Refuse any difference in shape, element type or bits; NaNs of one payload are equal.

    Raises
    ------
    AssertionError
        With the number of differing elements and the first of them.

    Examples
    --------
    >>> import numpy as np
    >>> import neurenix as nx
    >>> from neurenix.testing import assert_same_bits
    >>> assert_same_bits(nx.tensor([1.0, 2.0]) * 2, np.array([2.0, 4.0], np.float32))
    >>> try:
    ...     assert_same_bits(nx.tensor([0.0, 1.0]), nx.tensor([-0.0, 1.0]))
    ... except AssertionError as error:
    ...     print(str(error).partition(":")[0])
    1 elements differ in bits, first at flat index 0
    """
    a, b = np.ascontiguousarray(np.asarray(got)), np.ascontiguousarray(np.asarray(want))
    if a.shape != b.shape or a.dtype != b.dtype:
        raise AssertionError(f"expected {b.dtype}{b.shape}, got {a.dtype}{a.shape}")
    differ = (a.reshape(-1).view(np.uint8) != b.reshape(-1).view(np.uint8)).reshape(a.size, -1).any(axis=1) if a.size else np.zeros(0, bool)
    if differ.any():
        first = int(np.argmax(differ))
        a, b = a.reshape(-1)[first], b.reshape(-1)[first]
        raise AssertionError(f"{int(differ.sum())} elements differ in bits, first at flat index {first}: {a!r} against {b!r}")


def _outputs(result: Any) -> list[Tensor]:
    found = list(result) if isinstance(result, (tuple, list)) else [result]
    return [t for t in found if t.is_floating_point()]


def _value(fn: Callable[..., Any], arrays: Sequence[HostArray], weights: Sequence[HostArray]) -> float:
    with autograd.no_grad():
        outs = _outputs(fn(*(Tensor(a) for a in arrays)))
    return float(sum(np.vdot(o.numpy(), w) for o, w in zip(outs, weights, strict=True)))


def gradients(
    fn: Callable[..., Any], arrays: Sequence[HostArray], weights: Sequence[HostArray] | None = None, device: str = "cpu"
) -> list[HostArray]:
    """Gradients by our tape of the sum of the outputs, each weighted, with respect to every float input.

    Parameters
    ----------
    fn : callable
        Takes as many tensors as there are arrays; returns a tensor or several.
    arrays : sequence of array
    weights : sequence of array, optional
        Of the outputs' shapes; random numbers if ``None``.
    device : str

    Returns
    -------
    list of array
        One an input, of its shape; zeros where there is no gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.testing import gradients
    >>> gradients(lambda x: x * x, [np.array([1.0, 2.0])], [np.ones(2)])
    [array([2., 4.])]
    """
    inputs = [Tensor(a.copy()).to(device=device) for a in arrays]
    for t in inputs:
        if t.is_floating_point():
            t.requires_grad_()
    outs = _outputs(fn(*inputs))
    cotangents = [random_array(*o.shape, seed=7).astype(o.dtype) for o in outs] if weights is None else weights
    roots = [(o, Tensor(w.astype(o.dtype)).to(device=device)._array) for o, w in zip(outs, cotangents, strict=True) if o.requires_grad]
    autograd.backward(roots)
    return [np.zeros_like(a) if t.grad is None else t.grad.numpy() for a, t in zip(arrays, inputs, strict=True)]


def check_gradient(fn: Callable[..., Any], *arrays: HostArray, step: float = 1e-6, tolerance: float = 1e-6, seed: int = 3) -> None:
    """Compare our gradient with a central difference along a random direction of each input, in float64.

    Parameters
    ----------
    fn : callable
        Takes as many tensors as there are arrays; returns a tensor or several.
    *arrays : float64 or integer arrays
        Only floats are varied. Choose values away from kinks by more than ``step``.
    step : float
        Half the distance of the difference.
    tolerance : float
        Allowed difference, relative to the larger of 1 and the derivative.

    Raises
    ------
    AssertionError
        With the number of the input and both derivatives.

    Examples
    --------
    >>> import neurenix as nx
    >>> from neurenix.testing import check_gradient, random_array
    >>> check_gradient(lambda x, w: nx.nn.functional.conv2d(x, w), random_array(1, 2, 5, 5), random_array(3, 2, 3, 3))
    >>> try:
    ...     check_gradient(lambda x: x.detach() * x, random_array(3))  # half of the gradient of x * x
    ... except AssertionError:
    ...     print("wrong")
    wrong
    """
    with autograd.no_grad():
        shapes = [o.shape for o in _outputs(fn(*(Tensor(a) for a in arrays)))]
    weights = [random_array(*s, seed=seed + i) for i, s in enumerate(shapes)]
    found = gradients(fn, arrays, weights)
    for i, array in enumerate(arrays):
        if array.dtype.kind != "f":
            continue
        direction = random_array(*array.shape, seed=seed + 100 + i)
        up = _value(fn, [*arrays[:i], np.asarray(array + step * direction), *arrays[i + 1 :]], weights)
        down = _value(fn, [*arrays[:i], np.asarray(array - step * direction), *arrays[i + 1 :]], weights)
        want, got = (up - down) / (2 * step), float(np.vdot(found[i], direction))
        if not abs(got - want) <= tolerance * max(1.0, abs(want)):
            raise AssertionError(f"input {i}: expected a directional derivative of {want:.12g}, got {got:.12g}")


def check_adjoint(fn: Callable[[Tensor], Tensor], x: HostArray, tolerance: float = 1e-11) -> None:
    """Check <A x, y> = <x, A' y> for an operation ``fn`` that is linear in its one input, in float64.

    ``tolerance`` is relative to the larger of 1 and the product of both norms.

    Raises
    ------
    AssertionError
        With both products.

    Examples
    --------
    >>> import neurenix as nx
    >>> from neurenix.testing import check_adjoint, random_array
    >>> check_adjoint(lambda x: nx.nn.functional.interpolate(x, scale_factor=2), random_array(1, 1, 4, 4))
    >>> try:
    ...     check_adjoint(lambda x: x + 1, random_array(3))
    ... except AssertionError:
    ...     print("not linear")
    not linear
    """
    with autograd.no_grad():
        ax = fn(Tensor(x)).numpy()
    y = random_array(*ax.shape, seed=11)
    (aty,) = gradients(fn, [x], [y])
    left, right = float(np.vdot(ax, y)), float(np.vdot(x, aty))
    scale = max(1.0, float(np.sqrt(np.vdot(ax, ax) * np.vdot(y, y))))
    if not abs(left - right) <= tolerance * scale:
        raise AssertionError(f"expected <Ax, y> = <x, A'y>, got {left:.15g} and {right:.15g}")


def check_used_twice(fn: Callable[..., Any], *arrays: HostArray) -> None:
    """Check that two uses of the same tensors by ``fn`` give twice the gradient of one, within 1e-12.

    Raises
    ------
    AssertionError
        If a gradient is lost, overwritten or shared between the uses.

    Examples
    --------
    >>> import neurenix as nx
    >>> from neurenix.testing import check_used_twice, random_array
    >>> check_used_twice(nx.tanh, random_array(3))
    """
    once = gradients(fn, arrays)
    twice = gradients(lambda *ts: [*_outputs(fn(*ts)), *_outputs(fn(*ts))], arrays)
    for i, (a, b) in enumerate(zip(once, twice, strict=True)):
        if arrays[i].dtype.kind == "f":
            np.testing.assert_allclose(b, 2 * a, rtol=1e-12, atol=1e-12, err_msg=f"input {i}")
