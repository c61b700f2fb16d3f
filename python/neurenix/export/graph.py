"""A graph of ONNX operators in the making, and the rules by which modules become operators.

Sizes are not numbers here: :func:`neurenix.export.sampling.size` gives a value that the graph computes from its input when it
runs, so that one graph takes images of any size. Equal nodes are made once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import numpy as np

from neurenix.errors import ArgumentError, DTypeError
from neurenix.nn import Module
from neurenix.tensor import Tensor

OPSET: Final = 18
FLOAT, DOUBLE, INT, BOOL = (np.dtype(t) for t in ("float32", "float64", "int64", "bool"))
Rule: TypeAlias = Callable[..., Any]
R = TypeVar("R", bound=Rule)
RULES: Final[dict[type[Module], Rule]] = {}
ADVICE: Final = "replace it, or say what it is with nx.export.rule"


class Node(NamedTuple):
    """One operator of a graph."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


class Value:
    """What a node gives: a tensor of a known element type and number of axes, whose sizes are known when the graph runs.

    ``+ - * /`` and ``//`` (of integers of at least 0) make nodes; a Python number beside a value becomes a constant of its type.

    Attributes
    ----------
    graph : Graph
    name : str
    dtype : numpy.dtype
    rank : int
        Number of axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> from neurenix.export import Graph
    >>> graph = Graph(nx.nn.ReLU())
    >>> x = graph.constant([1.0, 2.0])
    >>> y = (x + 1) * x
    >>> y.name, y.dtype, y.rank, [node.op for node in graph.nodes]
    ('Mul.1', dtype('float32'), 1, ['Add', 'Mul'])
    """

    __slots__ = ("dtype", "graph", "name", "rank")

    def __init__(self, graph: Graph, name: str, dtype: np.dtype[Any], rank: int) -> None:
        self.graph, self.name, self.dtype, self.rank = graph, name, dtype, rank

    def __add__(self, other: Any) -> Value:
        return self.graph.node("Add", self, other)

    def __sub__(self, other: Any) -> Value:
        return self.graph.node("Sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.graph.node("Sub", self.graph.constant(other, self.dtype), self)

    def __mul__(self, other: Any) -> Value:
        return self.graph.node("Mul", self, other)

    def __truediv__(self, other: Any) -> Value:
        return self.graph.node("Div", self, other)

    def __floordiv__(self, other: Any) -> Value:
        return self.graph.node("Div", self, other)

    def __mod__(self, other: Any) -> Value:
        return self.graph.node("Mod", self, other)

    def at_least(self, other: Any) -> Value:
        """The larger of both, broadcast.

        Examples
        --------
        >>> import neurenix as nx
        >>> from neurenix.export import Graph
        >>> graph = Graph(nx.nn.ReLU())
        >>> graph.constant([-1.0, 2.0]).at_least(0.0).name
        'Max.0'
        """
        return self.graph.node("Max", self, other)

    def at_most(self, other: Any) -> Value:
        """The smaller of both, broadcast.

        Examples
        --------
        >>> import neurenix as nx
        >>> from neurenix.export import Graph
        >>> graph = Graph(nx.nn.ReLU())
        >>> graph.constant([-1.0, 2.0]).at_most(6.0).name
        'Min.0'
        """
        return self.graph.node("Min", self, other)

    def to(self, dtype: np.dtype[Any]) -> Value:
        """The same numbers in another type, of float32, float64, int64 and bool; floats to integers are cut off.

        Examples
        --------
        >>> import numpy as np
        >>> import neurenix as nx
        >>> from neurenix.export import Graph
        >>> graph = Graph(nx.nn.ReLU())
        >>> graph.constant([1.5]).to(np.dtype("int64")).dtype
        dtype('int64')
        """
        types = {FLOAT: 1, INT: 7, BOOL: 9, DOUBLE: 11}
        return self if self.dtype == dtype else self.graph.node("Cast", self, dtype=dtype, to=types[dtype])

    def ask(self, op: str, other: Any) -> Value:
        """``Equal``, ``Less``, ...: truth for each element, a value of bools.

        Examples
        --------
        >>> import neurenix as nx
        >>> from neurenix.export import Graph
        >>> graph = Graph(nx.nn.ReLU())
        >>> graph.constant([1.5]).ask("Less", 2.0).dtype
        dtype('bool')
        """
        return self.graph.node(op, self, other, dtype=BOOL)


class Graph:
    """Operators in the order in which they run.

    Parameters
    ----------
    model : Module
        Its weights keep the names of its state dict.

    Examples
    --------
    >>> import neurenix as nx
    >>> from neurenix.export import Graph
    >>> model = nx.nn.Linear(2, 1)
    >>> graph = Graph(model)
    >>> y = graph.call(model, graph.constant([[1.0, 2.0]]))
    >>> y.rank, sorted(name for name in graph.initializers if not name.startswith("constant"))
    (2, ['bias', 'weight'])
    """

    def __init__(self, model: Module) -> None:
        self.nodes: list[Node] = []
        self.initializers: dict[str, np.ndarray[Any, Any]] = {}
        self._names = {id(t): name for name, t in reversed(model._named_state().items())}
        self._places = {id(m): place for place, m in reversed(list(model.named_modules()))}
        self._made: dict[Any, list[Value]] = {}
        self._place = ""

    def constant(self, value: Any, dtype: Any = None) -> Value:
        """A number or array that does not depend on the input; int64 or float32 unless said otherwise. Equal ones are stored once.

        Examples
        --------
        >>> import neurenix as nx
        >>> from neurenix.export import Graph
        >>> graph = Graph(nx.nn.ReLU())
        >>> graph.constant(3).dtype, graph.constant([0.5]).dtype, graph.constant(3) is graph.constant(3)
        (dtype('int64'), dtype('float32'), True)
        """
        array = np.asarray(value)
        array = array.astype(dtype if dtype is not None else INT if array.dtype.kind in "iu" else FLOAT)
        key = ("constant", array.dtype.name, array.shape, array.tobytes())
        if key not in self._made:
            name = f"constant.{len(self.initializers)}"
            self.initializers[name] = array
            self._made[key] = [Value(self, name, array.dtype, array.ndim)]
        return self._made[key][0]

    def weight(self, t: Tensor) -> Value:
        """A parameter or buffer, under its name in the model.

        Examples
        --------
        >>> import neurenix as nx
        >>> from neurenix.export import Graph
        >>> model = nx.nn.Linear(2, 1)
        >>> Graph(model).weight(model.weight).name
        'weight'
        """
        name = self._names.get(id(t))
        if name is None:
            return self.constant(t.numpy(), t.dtype)
        if name not in self.initializers:
            self.initializers[name] = np.ascontiguousarray(t.numpy())
        return Value(self, name, t.dtype, t.ndim)

    def node(self, op: str, *inputs: Any, dtype: Any = None, rank: int | None = None, **attributes: Any) -> Value:
        """What the operator ``op`` of one output makes; type (``dtype``) and axes (``rank``) are those of its inputs unless said otherwise.

        Tensors beside values become weights, numbers constants of the first value's type, ``None`` an input that is left out; keywords
        are the operator's attributes.

        Examples
        --------
        >>> import neurenix as nx
        >>> from neurenix.export import Graph
        >>> graph = Graph(nx.nn.ReLU())
        >>> x = graph.constant([[1.0, 2.0]])
        >>> graph.node("Softmax", x, axis=-1).name, graph.nodes[0].attributes
        ('Softmax.0', {'axis': -1})
        """
        return self.many(op, *inputs, dtype=dtype, rank=rank, outputs=1, **attributes)[0]

    def many(self, op: str, *inputs: Any, dtype: Any = None, rank: int | None = None, outputs: int, **attributes: Any) -> list[Value]:
        """What one operator ``op`` makes, a list of ``outputs`` values; see :meth:`node` for the other arguments.

        Examples
        --------
        >>> import neurenix as nx
        >>> from neurenix.export import Graph
        >>> graph = Graph(nx.nn.ReLU())
        >>> left, right = graph.many("Split", graph.constant([1.0, 2.0]), outputs=2, axis=0, num_outputs=2)
        >>> left.name, right.name
        ('Split.0.0', 'Split.0.1')
        """
        like = next(i for i in inputs if isinstance(i, Value))
        values = [self._input(i, like) for i in inputs]
        names = ["" if v is None else v.name for v in values]
        key = (op, *names, repr(sorted(attributes.items())))
        if key not in self._made:
            number = len(self.nodes)
            made = [f"{op}.{number}" if outputs == 1 else f"{op}.{number}.{i}" for i in range(outputs)]
            self.nodes.append(Node(op, f"{self._place}/{op}.{number}", names, made, attributes))
            axes = max(v.rank for v in values if v is not None) if rank is None else rank
            self._made[key] = [Value(self, name, like.dtype if dtype is None else dtype, axes) for name in made]
        return self._made[key]

    def _input(self, given: Any, like: Value) -> Value | None:
        if given is None or isinstance(given, Value):
            return given
        return self.weight(given) if isinstance(given, Tensor) else self.constant(given, like.dtype)

    def output(self, value: Value, name: str) -> Value:
        """``value`` as a result of the whole graph under ``name``.

        Examples
        --------
        >>> import neurenix as nx
        >>> from neurenix.export import Graph
        >>> graph = Graph(nx.nn.ReLU())
        >>> graph.output(graph.constant([1.0]), "mask").name
        'mask'
        """
        self.nodes.append(Node("Identity", name, [value.name], [name], {}))
        return Value(self, name, value.dtype, value.rank)

    def call(self, module: Any, *inputs: Any, **settings: Any) -> Any:
        """What a module makes of values, by its rule; ``settings`` are the rule's own.

        Raises
        ------
        ArgumentError
            If there is no rule for its class, its ``forward`` is not its class's, or it has hooks; with its place in the model.

        Examples
        --------
        >>> import neurenix as nx
        >>> from neurenix.export import Graph
        >>> model = nx.nn.Sequential(nx.nn.ReLU(), nx.nn.Sigmoid())
        >>> graph = Graph(model)
        >>> _ = graph.call(model, graph.constant([1.0]))
        >>> [node.op for node in graph.nodes]
        ['Relu', 'Sigmoid']
        """
        before, self._place = self._place, self._places.get(id(module), self._place)
        try:
            return self._rule(module)(self, module, *inputs, **settings)
        finally:
            self._place = before

    def _rule(self, module: Module) -> Rule:
        kind, where = type(module), f"at {self._place!r}" if self._place else "as the model"
        for known in kind.__mro__:
            if known in RULES:
                if module._is_hooked() or "forward" in vars(module):
                    break
                return RULES[known]
            if not _adds_nothing(known):
                raise self.refusal(f"{kind.__name__}", where)
        raise self.refusal(f"{kind.__name__} with hooks or a forward of its own", where)

    def refusal(self, what: str, where: str = "", advice: str = ADVICE) -> ArgumentError:
        """The error, an :class:`ArgumentError`, for something that no rule can say in ONNX.

        Examples
        --------
        >>> import neurenix as nx
        >>> from neurenix.export import Graph
        >>> print(Graph(nx.nn.ReLU()).refusal("a sort", "at 'head'"))
        export: expected modules that there are ONNX operators for, got a sort at 'head'; replace it, or say what it is with nx.export.rule
        """
        where = where or f"at {self._place!r}"
        return ArgumentError(f"export: expected modules that there are ONNX operators for, got {what} {where}; {advice}")


def _adds_nothing(kind: type) -> bool:
    """Whether a subclass differs from its base in how it is built only."""
    return all(name.startswith("__") and name != "__call__" for name, entry in vars(kind).items() if callable(entry) or name == "forward")


def rule(*kinds: type[Module]) -> Callable[[R], R]:
    """Say how modules of your own classes become ONNX operators.

    Parameters
    ----------
    *kinds : classes of Module
        The rule also holds for subclasses that only add a constructor.

    Returns
    -------
    decorator of a function ``(graph, module, *inputs)`` that returns what ``module.forward`` would, made of graph values:
    ``graph.call(child, x)`` for another module, ``graph.node("Relu", x)`` for an operator of ONNX, ``+ - * /`` for arithmetic.

    Raises
    ------
    DTypeError
        If one of them is no class of modules.

    Examples
    --------
    >>> import neurenix as nx
    >>> class Doubled(nx.nn.Module):
    ...     def __init__(self):
    ...         self.conv = nx.nn.Conv2d(1, 2, 3)
    ...     def forward(self, x):
    ...         return self.conv(x) * 2
    >>> @nx.export.rule(Doubled)
    ... def doubled(graph, module, x):
    ...     return graph.call(module.conv, x) * 2
    >>> model = Doubled()
    >>> nx.export.onnx(model, "doubled.onnx")
    >>> nx.export.check_onnx(model, "doubled.onnx", sizes=[(9, 8)]) < 1e-5
    True
    """
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, Module):
            raise DTypeError(f"rule: expected classes of modules, got {kind!r}; pass e.g. MyBlock")

    def keep(function: R) -> R:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return keep


def flat(found: Any) -> Iterable[Value]:
    """The values in what a rule gave: one, a list or tuple of them, some inside others."""
    if isinstance(found, Value):
        yield found
    elif isinstance(found, (list, tuple)):
        for entry in found:
            yield from flat(entry)
