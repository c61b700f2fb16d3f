"""Every public operation is in the table of differentiable ones, or said not to be differentiable."""

from __future__ import annotations

import inspect

from properties.table import load

import neurenix as nx
from neurenix.nn import functional as F

NOT_DIFFERENTIABLE = {
    # comparisons and questions
    "all", "allclose", "any", "count_nonzero", "eq", "equal", "ge", "gt", "isclose", "isfinite", "isinf", "isnan", "le", "logical_and",
    "logical_not", "logical_or", "logical_xor", "lt", "ne", "isin", "isneginf", "isposinf", "isreal", "signbit", "heaviside",
    # integers
    "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "one_hot", "gcd", "lcm", "resize_labels",
    # places
    "argmax", "argmin", "argsort", "argwhere", "nonzero", "bincount", "bucketize", "searchsorted", "histc", "unique", "unique_consecutive",
    "unravel_index",
    # of labels and masks
    "signed_distance",
    # made from sizes and numbers
    "arange", "as_tensor", "empty", "empty_like", "eye", "from_dlpack", "from_numpy", "full", "full_like", "linspace", "logspace", "ones", "ones_like",
    "zeros", "zeros_like", "broadcast_shapes", "tril_indices", "triu_indices",
    # drawn
    "bernoulli", "multinomial", "normal",
}  # fmt: skip


def operations() -> dict[object, str]:
    """Each public function of ``neurenix.ops`` under one of its names."""
    found: dict[object, str] = {}
    for room in (nx, F):
        for name, value in vars(room).items():
            if inspect.isfunction(value) and value.__module__.startswith("neurenix.ops") and not name.startswith("_"):
                found.setdefault(inspect.unwrap(value), name)
    return found


def test_every_operation_is_in_the_table() -> None:
    have = {inspect.unwrap(row.function) for row in load().values()}
    known = {inspect.unwrap(getattr(nx, name, None) or getattr(F, name)) for name in NOT_DIFFERENTIABLE}
    missing = sorted(name for function, name in operations().items() if function not in have | known)
    assert not missing, f"add rows to tests/properties/rows_*.py (or to NOT_DIFFERENTIABLE) for: {', '.join(missing)}"


def test_what_is_said_not_to_be_differentiable_is_there_and_not_in_the_table() -> None:
    have = {inspect.unwrap(row.function) for row in load().values()}
    for name in NOT_DIFFERENTIABLE:
        function = inspect.unwrap(getattr(nx, name, None) or getattr(F, name))
        assert function in operations(), f"{name} is gone"
        assert function not in have, f"{name} has a row"
