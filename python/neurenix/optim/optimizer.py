"""What optimizers share: parameter groups, state, saving and loading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from neurenix import layout
from neurenix._hook_methods import HookHandle
from neurenix.autograd import enable_grad
from neurenix.errors import ArgumentError, DTypeError, FileError, ShapeError
from neurenix.optim.batch import Batch, constant_like
from neurenix.optim.entries import NUMBERS, Group, is_number, is_pair, own, plain, restored, unrounded, view_of
from neurenix.signals import undisturbed
from neurenix.tensor import Tensor

_AT_LEAST_ZERO = (
    "lr",
    "weight_decay",
    "eps",
    "momentum",
    "momentum_decay",
    "lr_decay",
    "initial_accumulator_value",
    "lambd",
    "alpha",
    "rho",
)


class Optimizer:
    """Base of all optimizers.

    A subclass gives its defaults to ``__init__`` and defines :meth:`update`.

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor), or of dict
        What to update; dictionaries are groups with their own settings beside ``"params"``. Names, as ``named_parameters()``
        gives them, are kept in the groups as ``"param_names"``.
    defaults : dict
        Settings of groups that do not name them.

    Attributes
    ----------
    param_groups : list of dict
        Each with ``"params"`` and its settings; change ``group["lr"]`` at any time.
    state : dict
        What is remembered of a parameter, by the parameter.

    Raises
    ------
    DTypeError
        If ``params`` is no iterable of float tensors that no operation made.
    ArgumentError
        If there are none, one stands twice, or a setting is out of range.

    Examples
    --------
    >>> import numpy as np, neurenix as nx
    >>> class SignSGD(nx.optim.Optimizer):
    ...     def __init__(self, params, lr=0.01):
    ...         super().__init__(params, {"lr": lr})
    ...     def update(self, group, batch):  # arrays in place: parameters, gradients
    ...         for array, gradient in zip(batch.arrays, batch.gradients):
    ...             array -= group["lr"] * np.sign(gradient)
    >>> p = nx.tensor([1.0, 2.0], requires_grad=True)
    >>> (p * nx.tensor([3.0, -4.0])).sum().backward()
    >>> SignSGD([p], lr=0.5).step()
    >>> p.tolist()
    [0.5, 2.5]
    """

    def __init__(self, params: Iterable[Any], defaults: Group) -> None:
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._before_step: dict[int, Callable[..., Any]] = {}
        self._after_step: dict[int, Callable[..., Any]] = {}
        if isinstance(params, (Tensor, str)) or not isinstance(params, Iterable):
            raise DTypeError(f"{self._name}: expected an iterable of parameters, got {type(params).__name__}; pass model.parameters()")
        given = list(params)
        if not given:
            raise ArgumentError(f"{self._name}: expected parameters, got none; pass model.parameters() once, it is an iterator")
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with settings of their own.

        Parameters
        ----------
        param_group : dict
            ``"params"``, a tensor or an iterable of tensors, and settings that differ from the defaults.

        Raises
        ------
        ArgumentError
            For a parameter given twice, or a setting out of range.
        DTypeError
            For what is no float tensor that no operation made.

        Examples
        --------
        >>> import neurenix as nx
        >>> encoder, head = nx.nn.Linear(8, 4), nx.nn.Linear(4, 2)
        >>> optimizer = nx.optim.SGD(head.parameters(), lr=0.1)
        >>> optimizer.add_param_group({"params": encoder.parameters(), "lr": 0.001})  # a pretrained part moves slowly
        >>> [(group["lr"], len(group["params"])) for group in optimizer.param_groups]
        [(0.1, 2), (0.001, 2)]
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise ArgumentError(f"{self._name}: expected a dict with 'params', got {param_group!r}; pass {{'params': ..., 'lr': ...}}")
        group = {k: v if k == "params" else plain(v) for k, v in {**self.defaults, **param_group}.items()}
        params, names = self._unnamed([group["params"]] if isinstance(group["params"], Tensor) else list(group["params"]))
        if names:
            group["param_names"] = names
        seen = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor) or not p.is_floating_point() or not p.is_leaf:
                raise DTypeError(f"{self._name}: expected float tensors made by no operation, got {type(p).__name__}; pass parameters")
            if id(p) in seen:
                raise ArgumentError(
                    f"{self._name}: expected each parameter once, got one of shape {p.shape} twice; leave it out of one group"
                )
            seen.add(id(p))
        group["params"] = params
        self.check(group)
        self.param_groups.append(group)

    def _unnamed(self, given: list[Any]) -> tuple[list[Any], list[str]]:
        """Parameters and their names, which ``named_parameters()`` gives; those of earlier groups must have names too, or none."""
        named = [isinstance(p, tuple) and len(p) == 2 for p in given]
        before = ["param_names" in g for g in self.param_groups]
        if (any(named) and not all(named)) or (before and before[0] != all(named)):
            raise ArgumentError(f"{self._name}: expected names for all parameters or for none, got some; pass named_parameters() of each")
        return ([p for _, p in given], [str(name) for name, _ in given]) if given and all(named) else (given, [])

    def check(self, group: Group) -> None:
        """Refuse settings out of range.

        Raises
        ------
        ArgumentError
            For the first that is. A subclass that has settings of its own checks them and calls this one too.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.optim.SGD([nx.tensor([1.0])], lr=-1.0)
        Traceback (most recent call last):
            ...
        neurenix.errors.ArgumentError: SGD: expected lr of at least 0, got -1.0; pass e.g. lr=0.001
        """
        for name in _AT_LEAST_ZERO:
            value = group.get(name, 0.0)
            if not is_number(value) or not value >= 0:
                raise ArgumentError(f"{self._name}: expected {name} of at least 0, got {value!r}; pass e.g. {name}=0.001")
        betas = group.get("betas", (0.0, 0.0))
        if not is_pair(betas) or not all(0.0 <= b < 1.0 for b in betas):
            raise ArgumentError(f"{self._name}: expected two betas in [0, 1), got {betas!r}; pass e.g. (0.9, 0.999)")
        if group.get("differentiable"):
            raise ArgumentError(f"{self._name}: expected differentiable=False, got True; steps are not recorded")
        if group.get("fused") and group.get("foreach"):
            raise ArgumentError(f"{self._name}: expected at most one of fused and foreach, got both; leave both out, they change nothing")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or with ``set_to_none=False`` set them to zero.

        Examples
        --------
        >>> import neurenix as nx
        >>> p = nx.tensor([2.0], requires_grad=True)
        >>> optimizer = nx.optim.SGD([p], lr=0.1)
        >>> (p * p).sum().backward()
        >>> optimizer.zero_grad()
        >>> p.grad is None
        True
        """
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = None if set_to_none else Tensor._wrap(constant_like(p._array, 0.0))

    def _check_gradients(self) -> None:
        """Refuse gradients that do not fit, before any parameter is touched."""
        for p in (p for group in self.param_groups for p in group["params"]):
            if p.grad is not None and not isinstance(p.grad, Tensor):
                raise DTypeError(f"{self._name}: expected a tensor as grad, got {type(p.grad).__name__}; set p.grad = nx.tensor(...)")
            if p.grad is not None and (p.grad.shape != p.shape or p.grad.dtype != p.dtype):
                raise ShapeError(
                    f"{self._name}: expected a gradient {p.dtype}{p.shape}, got {p.grad.dtype}{p.grad.shape}; set one that fits"
                )

    def _batches(self, group: Group) -> Iterator[Batch]:
        """Parameters with a gradient, those of one type, device, age and state of numbers together; each one's step is counted."""
        batches: dict[tuple[Any, ...], Batch] = {}
        for p in group["params"]:
            if p.grad is None:
                continue
            if not (p._array.flags.c_contiguous and p._array.flags.writeable):
                p._array = own(p._array)
            state = self.state.setdefault(p, {})
            step = state["step"] = state.get("step", 0) + 1
            batch = batches.setdefault((p.dtype, p.device, *map(state.get, NUMBERS)), Batch([], [], [], step))
            batch.parameters.append(p)
            batch.gradients.append(layout.contiguous(p.grad._array))
            batch.states.append(state)
        yield from batches.values()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, in place; ``closure`` computes the loss anew first.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew, with recording on; called once, before the update.

        Returns
        -------
        What ``closure`` returned, or ``None``

        Raises
        ------
        DTypeError, ShapeError
            If a gradient does not fit its parameter; no parameter is changed then.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer = nx.nn.Linear(1, 1)
        >>> optimizer = nx.optim.SGD(layer.parameters(), lr=0.1)
        >>> x, target = nx.tensor([[0.0], [1.0], [2.0]]), nx.tensor([[1.0], [3.0], [5.0]])  # 2 x + 1
        >>> for _ in range(200):
        ...     optimizer.zero_grad()
        ...     nx.nn.functional.mse_loss(layer(x), target).backward()
        ...     optimizer.step()
        >>> round(layer.weight.item(), 2), round(layer.bias.item(), 2)
        (2.0, 1.0)
        """
        if closure is not None and not callable(closure):
            raise DTypeError(f"{self._name}: expected a function of no argument as closure, got {type(closure).__name__}; call step()")
        for hook in tuple(self._before_step.values()):
            hook(self, (closure,) if closure is not None else (), {})
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._check_gradients()
        with undisturbed():
            for group in self.param_groups:
                for batch in self._batches(group):
                    self.update(group, batch)
                    for p in batch.parameters:
                        p._version += 1
        for hook in tuple(self._after_step.values()):
            hook(self, (closure,) if closure is not None else (), {})
        return loss

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call ``hook(optimizer, args, kwargs)`` before every step, until ``remove()`` of the handle that this returns.

        Examples
        --------
        >>> import neurenix as nx
        >>> p = nx.tensor([3.0], requires_grad=True)
        >>> optimizer = nx.optim.SGD([p], lr=1.0)
        >>> handle = optimizer.register_step_pre_hook(lambda *_: nx.nn.utils.clip_grad_value_([p], 0.5))
        >>> p.grad = nx.tensor([100.0])
        >>> optimizer.step()
        >>> p.tolist()
        [2.5]
        """
        return HookHandle(self._before_step, self._callable(hook))

    def register_step_post_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call ``hook(optimizer, args, kwargs)`` after every step, for instance to move averages of the weights.

        Examples
        --------
        >>> import neurenix as nx
        >>> p = nx.tensor([1.0], requires_grad=True)
        >>> optimizer, ema = nx.optim.SGD([p], lr=1.0), nx.optim.ExponentialMovingAverage([p], decay=0.5)
        >>> handle = optimizer.register_step_post_hook(lambda *_: ema.update())
        >>> p.grad = nx.tensor([4.0])
        >>> optimizer.step()
        >>> ema.averages[0].tolist()
        [-1.0]
        """
        return HookHandle(self._after_step, self._callable(hook))

    def _callable(self, hook: Any) -> Callable[..., Any]:
        if not callable(hook):
            raise DTypeError(f"{self._name}: expected a callable hook, got {type(hook).__name__}; pass a function")
        function: Callable[..., Any] = hook
        return function

    def update(self, group: Group, batch: Batch) -> None:
        """Take one step of one batch of parameters, in place: what a subclass defines, and :meth:`step` calls.

        Parameters
        ----------
        group : dict
            The settings.
        batch : Batch
            ``arrays`` and ``gradients``, lists of NumPy or CuPy arrays; ``states``, a dict each; ``step``, counted from 1.

        Examples
        --------
        >>> import neurenix as nx
        >>> class Decaying(nx.optim.Optimizer):
        ...     def update(self, group, batch):
        ...         for array, gradient in zip(batch.arrays, batch.gradients):
        ...             array -= group["lr"] / batch.step * gradient
        >>> p = nx.tensor([8.0], requires_grad=True)
        >>> optimizer, seen = Decaying([p], {"lr": 2.0}), []
        >>> for _ in range(3):
        ...     p.grad = nx.tensor([1.0])
        ...     optimizer.step()
        ...     seen.append(round(p.item(), 4))
        >>> seen
        [6.0, 5.0, 4.3333]
        """
        raise NotImplementedError(f"{self._name}: expected a method update(self, group, batch), got none; define it")

    def state_dict(self) -> dict[str, Any]:
        """Settings and states in PyTorch's layout: parameters are numbered in the order of the groups.

        Arrays are read-only views on the CPU, copies from a GPU; they change with the next step.

        Examples
        --------
        >>> import neurenix as nx
        >>> p = nx.tensor([1.0], requires_grad=True)
        >>> optimizer = nx.optim.SGD([p], lr=0.5, momentum=0.9)
        >>> p.grad = nx.tensor([4.0])
        >>> optimizer.step()
        >>> state = optimizer.state_dict()
        >>> state["state"][0]["momentum_buffer"].tolist(), state["param_groups"][0]["params"]
        ([4.0], [0])
        """
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers[id(p)] = len(numbers)
            groups.append({**{k: v for k, v in group.items() if k != "params"}, "params": [numbers[id(p)] for p in group["params"]]})
        state = {numbers[id(p)]: {k: view_of(v) for k, v in s.items()} for p, s in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over settings and states that :meth:`state_dict` gave, PyTorch's of the same optimizer too.

        Raises
        ------
        FileError
            If groups, their sizes or a state's shape do not fit; nothing is changed then.
        ArgumentError
            If a setting is out of range; nothing is changed then.

        Examples
        --------
        >>> import neurenix as nx
        >>> p = nx.tensor([1.0], requires_grad=True)
        >>> before, after = nx.optim.SGD([p], lr=0.5), nx.optim.SGD([p], lr=0.1)
        >>> after.load_state_dict(before.state_dict())
        >>> after.param_groups[0]["lr"]
        0.5
        """
        try:
            groups, states = list(state_dict["param_groups"]), dict(state_dict["state"])
            sizes = [len(g["params"]) for g in groups]
        except (KeyError, TypeError) as error:
            raise FileError(f"load_state_dict: expected 'state' and 'param_groups', got {error}; pass what state_dict() gave") from None
        have = [len(g["params"]) for g in self.param_groups]
        if sizes != have:
            raise FileError(f"load_state_dict: expected groups of {have} parameters, got {sizes}; build the optimizer with the same groups")
        loaded: dict[Tensor, dict[str, Any]] = {}
        settings = []
        for mine, theirs in zip(self.param_groups, groups, strict=True):
            for p, number in zip(mine["params"], theirs["params"], strict=True):
                entry = states.get(number, states.get(str(number)))
                if entry is not None:
                    loaded[p] = {k: restored(k, v, p) for k, v in entry.items()}
            settings.append({k: plain(v) for k, v in theirs.items() if k != "params"})
            self.check({**mine, **settings[-1], **unrounded(settings[-1])})
        for mine, new in zip(self.param_groups, settings, strict=True):
            mine.update(new)
        self.state = loaded

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            lines += [f"Parameter Group {i}", *(f"    {k}: {group[k]}" for k in sorted(group) if k not in ("params", "param_names"))]
        return "\n".join([*lines, ")"])
