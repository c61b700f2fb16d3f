"""Functions that a module calls before and after its forward, and when gradients have passed it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from neurenix import autograd
from neurenix._hook_methods import HookHandle as HookHandle
from neurenix._typing import Array
from neurenix.errors import ArgumentError, DTypeError, GraphError
from neurenix.tensor import Tensor

_FULL, _PRE = "register_full_backward_hook", "register_full_backward_pre_hook"


class Hook(NamedTuple):
    """A function, whether it takes keyword arguments too, and whether it is called after a forward that failed."""

    call: Callable[..., Any]
    with_kwargs: bool = False
    always: bool = False


Hooks = dict[int, Hook]


class Hooked:
    """What modules with hooks share."""

    _hooks: Hooks | None = None
    _pre_hooks: Hooks | None = None
    _backward_hooks: Hooks | None = None
    _backward_pre_hooks: Hooks | None = None
    forward: Callable[..., Any]

    def _is_hooked(self) -> bool:
        """Whether something watches this module's calls."""
        return bool(self._hooks or self._pre_hooks or self._backward_hooks or self._backward_pre_hooks)

    def register_forward_pre_hook(self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False) -> HookHandle:
        """Call ``hook(module, args)`` before every forward; what it returns, unless ``None``, replaces the arguments.

        With ``with_kwargs`` it is ``hook(module, args, kwargs)``, which returns ``None`` or both; with ``prepend`` it is called before
        those that are there.

        Returns
        -------
        HookHandle
            Its ``remove()`` takes the hook off again.

        Raises
        ------
        DTypeError
            If ``hook`` cannot be called.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer = nx.nn.ReLU()
        >>> handle = layer.register_forward_pre_hook(lambda module, args: args[0] - 1)  # centre the input
        >>> layer(nx.tensor([0.0, 3.0])).tolist()
        [0.0, 2.0]
        >>> handle.remove()
        """
        self._pre_hooks = {} if self._pre_hooks is None else self._pre_hooks
        return HookHandle(self._pre_hooks, Hook(_checked(hook), with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> HookHandle:
        """Call ``hook(module, args, output)`` after every forward; what it returns, unless ``None``, replaces the output.

        With ``with_kwargs`` it is ``hook(module, args, kwargs, output)``; with ``prepend`` it is called before those that are there;
        with ``always_call`` also after a forward that failed, its output ``None``.

        Returns
        -------
        HookHandle
            Its ``remove()`` takes the hook off again.

        Raises
        ------
        DTypeError
            If ``hook`` cannot be called.

        Examples
        --------
        >>> import neurenix as nx
        >>> model, shapes = nx.nn.Sequential(nx.nn.Conv2d(1, 4, 3), nx.nn.MaxPool2d(2), nx.nn.Conv2d(4, 8, 3)), []
        >>> hooks = [m.register_forward_hook(lambda m, args, y: shapes.append(y.shape)) for m in model]
        >>> _ = model(nx.zeros(1, 1, 16, 16))
        >>> shapes
        [(1, 4, 14, 14), (1, 4, 7, 7), (1, 8, 5, 5)]
        >>> for hook in hooks:
        ...     hook.remove()
        """
        self._hooks = {} if self._hooks is None else self._hooks
        return HookHandle(self._hooks, Hook(_checked(hook), with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> HookHandle:
        """Call ``hook(module, grad_input, grad_output)`` when gradients have passed the module.

        Both are tuples, ``grad_input`` with an entry for each positional argument, ``None`` where no gradient flows. What the hook
        returns, unless ``None``, replaces ``grad_input``. With ``prepend`` it is called before those that are there.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer, seen = nx.nn.ReLU(), []
        >>> handle = layer.register_full_backward_hook(lambda m, grad_input, grad_output: seen.append(grad_input[0].tolist()))
        >>> layer(nx.tensor([1.0, -1.0], requires_grad=True)).sum().backward()
        >>> seen
        [[1.0, 0.0]]
        """
        self._backward_hooks = {} if self._backward_hooks is None else self._backward_hooks
        return HookHandle(self._backward_hooks, Hook(_checked(hook)), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> HookHandle:
        """Call ``hook(module, grad_output)`` before gradients pass the module.

        ``grad_output`` is a tuple, ``None`` where no gradient flows. What the hook returns, unless ``None``, replaces it. With
        ``prepend`` it is called before those that are there.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer, x = nx.nn.ReLU(), nx.tensor([1.0, -1.0], requires_grad=True)
        >>> handle = layer.register_full_backward_pre_hook(lambda m, grad_output: grad_output[0] * 2)
        >>> layer(x).sum().backward()
        >>> x.grad.tolist()
        [2.0, 0.0]
        """
        self._backward_pre_hooks = {} if self._backward_pre_hooks is None else self._backward_pre_hooks
        return HookHandle(self._backward_pre_hooks, Hook(_checked(hook)), prepend)

    def _call_hooked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Forward with everything that watches it."""
        for hook in tuple((self._pre_hooks or {}).values()):
            args, kwargs = _before(self, hook, args, kwargs)
        pulls = self._backward_hooks or self._backward_pre_hooks
        watch = (
            _Backward(self, self._backward_hooks or {}, self._backward_pre_hooks or {}) if pulls and autograd.is_grad_enabled() else None
        )
        try:
            output = self.forward(*(args if watch is None else watch.enter(args)), **kwargs)
        except BaseException:
            for hook in tuple((self._hooks or {}).values()):
                if hook.always:
                    hook.call(self, args, *([kwargs] if hook.with_kwargs else []), None)
            raise
        for hook in tuple((self._hooks or {}).values()):
            changed = hook.call(self, args, *([kwargs] if hook.with_kwargs else []), output)
            output = output if changed is None else changed
        return output if watch is None else watch.leave(output)


def _checked(hook: Any) -> Callable[..., Any]:
    if not callable(hook):
        raise DTypeError(f"register hook: expected a callable, got {type(hook).__name__}; pass a function")
    function: Callable[..., Any] = hook
    return function


def _before(module: Any, hook: Hook, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not hook.with_kwargs:
        changed = hook.call(module, args)
        return (args if changed is None else changed if isinstance(changed, tuple) else (changed,)), kwargs
    changed = hook.call(module, args, kwargs)
    if changed is None:
        return args, kwargs
    if not isinstance(changed, tuple) or len(changed) != 2:
        raise DTypeError(f"forward pre-hook: expected None or (args, kwargs), got {type(changed).__name__}; return both")
    return changed


class _Backward:
    """Stands on the tape before and behind one call of a module, and calls its hooks once both gradients are known."""

    def __init__(self, module: Any, hooks: Hooks, pre_hooks: Hooks) -> None:
        self.module, self.hooks, self.pre_hooks = module, hooks, pre_hooks
        self.count, self.places = 0, [0]
        self.before = False  # whether an input wants a gradient, so that the hooks wait for it
        self.grad_output: tuple[Tensor | None, ...] = ()

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, watched."""
        self.count, self.places = len(args), [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
        self.before = bool(self.places)
        return tuple(_watched([args[i] for i in self.places], self.pull_inputs, args, self.places)) if self.before else args

    def leave(self, output: Any) -> Any:
        """The output, watched."""
        outputs = [output] if isinstance(output, Tensor) else output
        if not isinstance(outputs, (list, tuple)) or not all(isinstance(t, Tensor) for t in outputs):
            raise ArgumentError(
                f"register_full_backward_hook: expected a module that returns tensors, got {type(output).__name__}; watch one inside it"
            )
        if not any(t.requires_grad for t in outputs):
            return output
        watched = _watched(list(outputs), self.pull_outputs, outputs, list(range(len(outputs))))
        return watched[0] if isinstance(output, Tensor) else type(output)(watched)

    def pull_outputs(self, gradients: Sequence[Any]) -> Sequence[Any]:
        found = tuple(None if g is None else Tensor._wrap(g) for g in gradients)
        self.grad_output = _replaced(_PRE, self.pre_hooks, found, len(found), self.module)
        if not self.before:
            self.call((None,) * self.count)
        return [_fitting(_PRE, changed, g) for changed, g in zip(self.grad_output, found, strict=True)]

    def pull_inputs(self, gradients: Sequence[Any]) -> Sequence[Any]:
        found: list[Tensor | None] = [None] * self.count
        for i, g in zip(self.places, gradients, strict=True):
            found[i] = None if g is None else Tensor._wrap(g)
        changed = self.call(tuple(found))
        return [_fitting(_FULL, changed[i], found[i]) for i in self.places]

    def call(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        return _replaced(_FULL, self.hooks, grad_input, self.count, self.module, self.grad_output)


def _replaced(op: str, hooks: Hooks, gradients: tuple[Any, ...], count: int, *given: Any) -> tuple[Any, ...]:
    """Gradients after every hook has seen, and perhaps replaced, them."""
    for hook in tuple(hooks.values()):
        changed = hook.call(given[0], gradients, *given[1:])
        if changed is not None:
            gradients = changed if isinstance(changed, tuple) else (changed,)
    if len(gradients) != count:
        raise ArgumentError(f"{op}: expected {count} gradients from the hook, got {len(gradients)}; return one a tensor")
    return gradients


def _fitting(op: str, changed: Any, gradient: Tensor | None) -> Array | None:
    """The array of a gradient that a hook gave in the place of another."""
    if changed is None:
        return None
    if not isinstance(changed, Tensor) or (gradient is not None and (changed.shape, changed.dtype) != (gradient.shape, gradient.dtype)):
        wanted = "a tensor" if gradient is None else f"{gradient.dtype}{gradient.shape}"
        raise GraphError(f"{op}: expected None or a gradient {wanted}, got {changed!r}; return one that fits")
    return changed._array


def _watched(tensors: list[Tensor], pull: Any, among: Sequence[Any], places: list[int]) -> list[Any]:
    """``among`` with the tensors at some places standing behind a node that pulls their gradients together."""
    results = list(among)
    twins = autograd.record_many("backward_hook", [t._array for t in tensors], tuple(tensors), pull)
    for i, twin, t in zip(places, twins, tensors, strict=True):
        twin._logits = t._logits
        results[i] = twin
    return results
