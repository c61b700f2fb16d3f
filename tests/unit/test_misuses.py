"""Each public name misused at least once: which error, and its whole text.

``misuses.txt`` holds blocks of three lines: the name, an expression, and what it raises. To add a name, write the first two lines and
run ``make misuses``, which fills in what is raised; then read whether the text says what was expected, what came and what to do.
"""

from __future__ import annotations

import importlib
import inspect
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import neurenix as nx
from neurenix import data, errors, labelling, metrics, multiscale, nn, optim
from neurenix.backend.kernel import KERNELS
from neurenix.nn import functional as F

HERE = Path(__file__).parent
TABLE, NAMES = HERE / "misuses.txt", HERE / "public_names.txt"

NOTHING_TO_MISUSE = {
    "element types, which are NumPy's": r"neurenix\.(float(16|32|64)|u?int(8|16|32|64)|bool_)",
    "errors, which are raised": r"neurenix\.errors\.\w+|neurenix\.[\w.]+Error",
    "takes no argument": r"neurenix\.(empty_cache|get_float32_precision|get_memory_limit|get_num_threads|get_rng_state|initial_seed|is_grad_enabled"
    r"|show_config|diagnose|enable_grad|no_grad|detect_anomaly|enable_gradient_checkpointing)|neurenix\.data\.item_seed"
    r"|neurenix\.cuda\.(current_device|device_count|empty_cache|is_available)|neurenix\.parallel\.ranks",
    "nothing is passed to it: subclasses have entries": r"neurenix\.data\.Dataset|neurenix\.metrics\.Metric",
    "what a function returns": r"neurenix\.multiscale\.ReceptiveField|neurenix\.slides\.TilePlan",
    "what a rule is given": r"neurenix\.export\.(Graph|Value)",
}


class Misuse(NamedTuple):
    """One block of the table."""

    name: str
    expression: str
    raised: str


def table() -> list[Misuse]:
    """Every block; a block without its third line has nothing raised yet."""
    blocks = [b.splitlines() for b in TABLE.read_text().strip().split("\n\n")]
    return [Misuse(b[0].strip(), b[1].strip(), " ".join(line.strip() for line in b[2:])) for b in blocks]


def scope() -> dict[str, Any]:
    """What expressions may use: the library's rooms, NumPy, a picture ``X``, a module ``M`` and a file that is none."""
    file = Path(tempfile.gettempdir()) / "neurenix-no-such-file.nx"
    return {
        **{
            "nx": nx,
            "nn": nn,
            "F": F,
            "optim": optim,
            "data": data,
            "multiscale": multiscale,
            "np": np,
            "metrics": metrics,
            "labelling": labelling,
            "file": file,
        },
        "X": nx.zeros(1, 3, 8, 8),
        "I": nx.tensor([1, 2], dtype=np.int64),
        "M": nn.Linear(2, 2),
    }


def outcome(expression: str) -> str:
    """``Kind: text`` of what an expression raises."""
    nx.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            eval(expression, scope())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def value_of(name: str) -> Any:
    """What a dotted public name stands for."""
    module, _, last = name.rpartition(".")
    room = importlib.import_module(module)
    return getattr(room, last) if hasattr(room, last) else importlib.import_module(name)


def excused(name: str) -> bool:
    return inspect.ismodule(value_of(name)) or any(re.fullmatch(pattern, name) for pattern in NOTHING_TO_MISUSE.values())


def missing() -> list[str]:
    """Public names that have no block, no reason, and are not another name for what has one."""
    have = {id(value_of(m.name)) for m in table()}
    return [n for n in NAMES.read_text().split() if not excused(n) and id(value_of(n)) not in have]


def internals() -> re.Pattern[str]:
    """Names that no user should meet: the extension, attributes of ours, files and paths of Rust, rows of the kernel table."""
    public = {name.rpartition(".")[2] for name in NAMES.read_text().split()} | set(vars(nx.Tensor))
    rows = sorted(row for row in KERNELS if "_" in row and row not in public)
    return re.compile(rf"\b(_\w*rust|_array|_node|neurenix_core|internal|\w+\.rs|{'|'.join(rows)})\b|\w::\w|/root/|site-packages")


@pytest.mark.parametrize("misuse", table(), ids=lambda m: f"{m.name}: {m.expression}")
def test_raises_what_the_table_says(misuse: Misuse) -> None:
    got = outcome(misuse.expression)
    assert got == misuse.raised, "if on purpose, run: make misuses"
    kind, _, text = got.partition(": ")
    assert issubclass(getattr(errors, kind, type(None)), errors.NeurenixError), f"{kind} is not one of ours"
    assert re.search(r"^[\w. ]+: expected .+, got .+; .+$", text), "the form is: operation: expected what, got what; what to do"
    assert not internals().search(text), "names an internal"


def called_directly() -> list[Misuse]:
    """Misuses in which the function of the name is called, and refuses its arguments itself."""
    rooms = {"neurenix": "nx", "neurenix.nn.functional": "F", "neurenix.metrics": "metrics", "neurenix.multiscale": "multiscale"}
    parts = [(m, *m.name.rpartition(".")[::2]) for m in table()]
    direct = [m for m, room, last in parts if m.expression.startswith(f"{rooms.get(room)}.{last}(") and last[0].islower()]
    return [m for m in direct if m.name != "neurenix.multiscale.predict_tiled"]  # a model's layers refuse


@pytest.mark.parametrize("misuse", called_directly(), ids=lambda m: f"{m.name}: {m.expression}")
def test_an_error_begins_with_the_function_that_was_called(misuse: Misuse) -> None:
    last, said = misuse.name.rpartition(".")[2], outcome(misuse.expression).partition(": ")[2]
    assert re.match(rf"{last}\b", said), said


@pytest.mark.parametrize("misuse", [m for m in called_directly() if re.match(r"nx\.\w+\(X, ", m.expression)], ids=lambda m: m.expression)
def test_methods_raise_what_the_functions_raise(misuse: Misuse) -> None:
    last = misuse.name.rpartition(".")[2]
    if hasattr(nx.Tensor, last):
        assert outcome(re.sub(rf"^nx\.{last}\(X, ", f"X.{last}(", misuse.expression)) == misuse.raised


@pytest.mark.parametrize(
    "expression",
    [
        "X.new_zeros('text')",
        "X.new_full((2,), X)",
        "X.type('text')",
        "X.put(X, X)",
        "X.sum_to_size(X)",
        "X.requires_grad_(X)",
        "X.assign_('text')",
    ],
)
def test_errors_of_methods_without_a_function_name_the_method(expression: str) -> None:
    method = re.match(r"X\.(\w+)", expression)[1]
    assert re.match(rf"\w+Error: {method}: expected ", outcome(expression))


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("nx.split(X, 2.5, 2)", "ArgumentError: split: expected split_size_or_sections as an integer, got 2.5;"),
        ("nx.split(X, [1.5, 1.5], 1)", "ArgumentError: split: expected each size as an integer, got 1.5;"),
        ("nx.narrow(X, 1, 0.5, 1)", "ArgumentError: narrow: expected start as an integer, got 0.5;"),
        ("nx.select(X, 1, 0.5)", "ArgumentError: select: expected index as an integer, got 0.5;"),
        ("nx.roll(X, 1.5)", "ArgumentError: roll: expected each shift as an integer, got 1.5;"),
        ("X.sum_to_size(1, 1.5)", "ArgumentError: sum_to_size: expected each size as an integer, got 1.5;"),
        ("nx.tensordot(X, nx.zeros(5))", "ShapeError: tensordot: expected dims from 0 to 1, got 2 for (1, 3, 8, 8) and (5,);"),
        ("nx.quantile(X, 'text')", "ArgumentError: quantile: expected numbers or equally long nested lists, got str"),
        ("nx.bernoulli(X, 'text')", "ArgumentError: bernoulli: expected numbers or equally long nested lists, got str"),
        ("nx.repeat_interleave(X, 'text')", "ShapeError: repeat_interleave: expected 1 or 192 whole numbers of at least 0, got ['text'];"),
        ("nx.nan_to_num(X, 'text')", "ArgumentError: nan_to_num: expected nan as a number, got 'text';"),
        ("X.type_as('text')", "DTypeError: type_as: expected float16, float32"),
    ],
)
def test_sizes_are_integers_and_axes_are_there(expression: str, text: str) -> None:
    assert outcome(expression).startswith(text)


def test_an_error_inside_a_model_names_its_own_operation() -> None:
    assert re.match("ShapeError: conv2d: expected", outcome("nx.checkpoint(nn.Conv2d(1, 1, 3), X)"))
    assert re.match("ShapeError: linear: expected", outcome("nn.Sequential(nn.ReLU(), M)(X)"))


def test_an_error_inside_a_function_of_the_user_names_what_that_calls() -> None:
    expression = "F.triplet_margin_with_distance_loss(X, X, X, distance_function=lambda a, b: nx.sub(a, nx.zeros(5)))"
    assert re.match("ShapeError: sub: expected", outcome(expression))


def test_every_public_name_has_a_misuse() -> None:
    assert not missing(), f"add a name and an expression to tests/unit/misuses.txt, then run make misuses: {missing()}"


def test_reasons_are_few() -> None:
    names = NAMES.read_text().split()
    callables = [n for n in names if excused(n) and inspect.isroutine(value_of(n))]
    assert len(callables) <= 15, callables


if __name__ == "__main__":
    written = "\n\n".join(f"{m.name}\n    {m.expression}\n    {outcome(m.expression)}" for m in sorted(table()))
    TABLE.write_text(written + "\n")
    print(f"{len(table())} misuses; names without one: {', '.join(missing()) or 'none'}")
