"""Giving and finding a module's parameters, buffers and children by name."""

from __future__ import annotations

from typing import Any

from neurenix.errors import ArgumentError, DTypeError
from neurenix.nn.parameter import Buffer, Parameter
from neurenix.tensor import Tensor


class Registering:
    """What PyTorch's code does through methods; plain assignment to attributes does the same."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign; a plain tensor in a buffer's place becomes the buffer, in a parameter's place it is refused."""
        if isinstance(value, Tensor) and not isinstance(value, (Parameter, Buffer)):
            before = vars(self).get(name)
            if isinstance(before, Parameter):
                raise DTypeError(
                    f"{type(self).__name__}: expected a Parameter for {name!r}, got a tensor; "
                    f"write its values with {name}.assign_(tensor), or assign nn.Parameter(tensor)"
                )
            if isinstance(before, Buffer):
                value = Buffer(value.detach(), before.persistent)
        object.__setattr__(self, name, value)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Make a tensor a buffer, or with ``None`` keep the name; one that is not ``persistent`` stays out of state dicts.

        Examples
        --------
        >>> import neurenix as nx
        >>> module = nx.nn.Module()
        >>> module.register_buffer("mean", nx.tensor([0.5]))
        >>> module.register_buffer("grid", nx.tensor([1.0, 2.0]), persistent=False)
        >>> list(module.state_dict()), [name for name, _ in module.named_buffers()]
        (['mean'], ['mean', 'grid'])
        """
        self._check_name("register_buffer", name, Buffer)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise DTypeError(f"register_buffer: expected a tensor or None, got {type(tensor).__name__}; pass nx.tensor(...)")
        setattr(self, name, None if tensor is None else Buffer(tensor.detach(), persistent))

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, or with ``None`` keep the name.

        Raises
        ------
        ArgumentError
            If an attribute cannot have the name, or something else has it.
        DTypeError
            If it is neither a parameter nor ``None``.

        Examples
        --------
        >>> import neurenix as nx
        >>> module = nx.nn.Module()
        >>> module.register_parameter("scale", nx.nn.Parameter([1.0]))
        >>> module.register_parameter("shift", None)  # may be given later
        >>> [name for name, _ in module.named_parameters()], module.shift is None
        (['scale'], True)
        """
        self._check_name("register_parameter", name, Parameter)
        if param is not None and not isinstance(param, Parameter):
            raise DTypeError(f"register_parameter: expected a Parameter or None, got {type(param).__name__}; wrap it in nn.Parameter")
        setattr(self, name, param)

    def add_module(self, name: str, module: Any) -> None:
        """Add a module, or with ``None`` keep the name.

        Raises
        ------
        ArgumentError
            If an attribute cannot have the name, or something else has it.
        DTypeError
            If it is neither a module nor ``None``.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Module()
        >>> model.add_module("head", nx.nn.Conv2d(8, 1, 1))
        >>> model.head
        Conv2d(8, 1, kernel_size=(1, 1), stride=(1, 1))
        """
        self._check_name("add_module", name, Registering)
        if module is not None and not isinstance(module, Registering):
            raise DTypeError(f"add_module: expected a module or None, got {type(module).__name__}; pass e.g. nn.ReLU()")
        setattr(self, name, module)

    def register_module(self, name: str, module: Any) -> None:
        """See :meth:`add_module`.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Module()
        >>> model.register_module("head", nx.nn.ReLU())
        >>> [name for name, _ in model.named_children()]
        ['head']
        """
        self.add_module(name, module)

    def set_submodule(self, target: str, module: Any) -> None:
        """Put a module in the place of the one with this dotted name, e.g. another head for another number of classes.

        Raises
        ------
        ArgumentError
            If there is no module of this name.
        DTypeError
            If ``module`` is none.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Linear(4, 8), nx.nn.Sequential(nx.nn.ReLU(), nx.nn.Linear(8, 10)))
        >>> model.set_submodule("1.1", nx.nn.Linear(8, 2))
        >>> model(nx.ones(1, 4)).shape
        (1, 2)
        """
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)  # type: ignore[attr-defined]  # Module has it
        if not name or dict(owner._entries(Registering)).get(name) is None or "." in name:
            raise ArgumentError(f"set_submodule: expected the dotted name of a module, got {target!r}; see named_modules()")
        if not isinstance(module, Registering):
            raise DTypeError(f"set_submodule: expected a module, got {type(module).__name__}; pass e.g. nn.ReLU()")
        setattr(owner, name, module)

    def _check_name(self, method: str, name: Any, kind: type) -> None:
        """Refuse names that attributes cannot have, and those of something else."""
        if not isinstance(name, str) or not name or "." in name or name.startswith("_"):
            raise ArgumentError(f"{method}: expected a name without '.' and a leading '_', got {name!r}; choose another name")
        there = getattr(self, name, None)
        if (there is not None or hasattr(type(self), name)) and not isinstance(there, kind):
            raise ArgumentError(f"{method}: expected a new name, got {name!r}, which the module has; choose another name")

    def _find(self, method: str, target: str, kind: type) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)  # type: ignore[attr-defined]  # Module has it
        found = dict(owner._entries(kind)).get(name)
        if found is None:
            raise ArgumentError(
                f"{method}: expected the dotted name of a {kind.__name__.lower()}, got {target!r}; see the state dict's names"
            )
        return found

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with this dotted name; the names are those of the state dict.

        Raises
        ------
        ArgumentError
            If there is none.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.ReLU(), nx.nn.Linear(8, 2))
        >>> model.get_parameter("1.weight").shape
        (2, 8)
        """
        parameter: Parameter = self._find("get_parameter", target, Parameter)
        return parameter

    def get_buffer(self, target: str) -> Buffer:
        """The buffer with this dotted name.

        Raises
        ------
        ArgumentError
            If there is none.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Sequential(nx.nn.Linear(8, 2), nx.nn.BatchNorm1d(2))
        >>> model.get_buffer("1.running_var").tolist()
        [1.0, 1.0]
        """
        buffer: Buffer = self._find("get_buffer", target, Buffer)
        return buffer
