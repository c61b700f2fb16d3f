"""Finding a module's children, parameters and buffers, its own and those below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from neurenix.errors import ArgumentError
from neurenix.nn import walking
from neurenix.nn.parameter import Buffer, Parameter

if TYPE_CHECKING:
    from neurenix.nn.module import Module

T = TypeVar("T")


class Finding:
    """What walks over a module's attributes, in their order; see :mod:`neurenix.nn.walking`."""

    _makes_segments: bool = False  # whether forward runs parts of itself through checkpoint.segment

    def _entries(self, kind: type[T]) -> list[tuple[str, T]]:
        """Attributes of a kind with their names, in order, also those inside lists, tuples and dicts."""
        return walking.entries(self, kind)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Modules that are attributes of this one, each once.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential({"conv": nx.nn.Conv2d(3, 8, 3), "norm": nx.nn.BatchNorm2d(8)})
        >>> [(name, type(child).__name__) for name, child in model.named_children()]
        [('conv', 'Conv2d'), ('norm', 'BatchNorm2d')]
        """
        seen: set[int] = set()
        for name, child in walking.entries(self, Finding):
            if id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """Modules that are attributes of this one, each once.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Linear(2, 2), nx.nn.Sequential(nx.nn.ReLU(), nx.nn.Tanh()))
        >>> [type(child).__name__ for child in model.children()]  # not what is inside them
        ['Linear', 'Sequential']
        """
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """Itself and all modules below with their dotted names, a shared one once unless asked otherwise.

        Parameters
        ----------
        prefix : str
            Stands before every name.
        remove_duplicate : bool
            Give a module that stands at two places once.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Linear(2, 2), nx.nn.Sequential(nx.nn.ReLU()))
        >>> [name for name, _ in model.named_modules()]
        ['', '0', '1', '1.0']
        """
        return iter(walking.modules(self, Finding, remove_duplicate, prefix))

    def modules(self) -> Iterator[Module]:
        """Itself and all modules below, a shared one once.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Linear(2, 2), nx.nn.Sequential(nx.nn.ReLU()))
        >>> sum(isinstance(m, nx.nn.ReLU) for m in model.modules())
        1
        """
        return (m for _, m in self.named_modules())

    def _has_segments(self) -> bool:
        """Whether this module or one below runs in parts under ``enable_gradient_checkpointing``."""
        return any(m._makes_segments for m in self.modules())

    def get_submodule(self, target: str) -> Module:
        """The module with this dotted name; ``""`` is this module.

        Raises
        ------
        ArgumentError
            If there is none.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Linear(2, 2), nx.nn.Sequential(nx.nn.ReLU()))
        >>> model.get_submodule("1.0")
        ReLU()
        """
        for name, module in self.named_modules(remove_duplicate=False):
            if name == target:
                return module
        raise ArgumentError(f"get_submodule: expected the dotted name of a module, got {target!r}; see named_modules()")

    def _named(self, kind: type[T], prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, T]]:
        return iter(walking.tensors(self, Finding, remove_duplicate, prefix, recurse, kind))

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names, in the order of the attributes.

        Parameters
        ----------
        prefix : str
            Stands before every name.
        recurse : bool
            Also those of modules below.
        remove_duplicate : bool
            Give a parameter that stands at two places once.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Conv2d(1, 4, 3), nx.nn.BatchNorm2d(4))
        >>> [(name, p.shape) for name, p in model.named_parameters()]
        [('0.weight', (4, 1, 3, 3)), ('0.bias', (4,)), ('1.weight', (4,)), ('1.bias', (4,))]
        """
        return self._named(Parameter, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once; without ``recurse`` the module's own only.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer = nx.nn.Linear(3, 2)
        >>> [p.shape for p in layer.parameters()]
        [(2, 3), (2,)]
        >>> optimizer = nx.optim.SGD(layer.parameters(), lr=0.1)
        """
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[tuple[str, Buffer]]:
        """All buffers with their dotted names, in the order of the attributes; arguments as of :meth:`named_parameters`.

        Examples
        --------
        >>> import neurenix as nx
        >>> [name for name, _ in nx.nn.BatchNorm2d(4).named_buffers()]
        ['running_mean', 'running_var', 'num_batches_tracked']
        """
        return self._named(Buffer, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """All buffers, each once; without ``recurse`` the module's own only.

        Examples
        --------
        >>> import neurenix as nx
        >>> [b.tolist() for b in nx.nn.BatchNorm2d(2).buffers()]  # running mean and variance, and batches seen
        [[0.0, 0.0], [1.0, 1.0], 0]
        """
        return (b for _, b in self.named_buffers(recurse=recurse))

    def num_parameters(self, trainable_only: bool = False) -> int:
        """Number of values in all parameters, or with ``trainable_only`` in those that take a gradient.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.nn.Conv2d(3, 8, 3).num_parameters()  # 8 windows of 3 * 3 * 3 weights, and 8 biases
        224
        """
        return sum(p._array.size for p in self.parameters() if p.requires_grad or not trainable_only)
