"""Functions that see a gradient on its way, as methods."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from neurenix.errors import DTypeError, GraphError

if TYPE_CHECKING:
    from neurenix.tensor import Tensor

_numbers = itertools.count()


class HookHandle:
    """Takes a hook away again, also at the end of a ``with``."""

    def __init__(self, hooks: dict[int, Any], hook: Any, first: bool = False) -> None:
        self._hooks, self._number = hooks, next(_numbers)
        others = list(hooks.items()) if first else []
        for number, _ in others:
            del hooks[number]
        hooks[self._number] = hook
        hooks.update(others)

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        self._hooks.pop(self._number, None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class HookMethods:
    """Functions that see a gradient on its way, as methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
        """Call ``hook(gradient)`` in every backward pass; what it returns, unless ``None``, replaces the gradient.

        Raises
        ------
        DTypeError
            If ``hook`` cannot be called.
        GraphError
            If the tensor takes no gradient.

        Examples
        --------
        >>> import neurenix as nx
        >>> x = nx.tensor([1.0, 2.0], requires_grad=True)
        >>> handle = x.register_hook(lambda g: g * 10)
        >>> (x * x).sum().backward()
        >>> x.grad.tolist()
        [20.0, 40.0]
        """
        me = cast("Tensor", self)
        if not callable(hook):
            raise DTypeError(f"register_hook: expected a callable, got {type(hook).__name__}; pass a function of the gradient")
        if not me.requires_grad:
            raise GraphError("register_hook: expected a tensor that takes a gradient, got one that does not; call requires_grad_() first")
        place = me._node or me
        place._grad_hooks = {} if place._grad_hooks is None else place._grad_hooks
        return HookHandle(place._grad_hooks, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of a result too: backward adds it to ``grad``, as it does for leaves.

        Raises
        ------
        GraphError
            If the tensor takes no gradient.

        Examples
        --------
        >>> import neurenix as nx
        >>> x = nx.tensor([3.0], requires_grad=True)
        >>> y = x * x
        >>> y.retain_grad()
        >>> (2 * y).backward()
        >>> y.grad, x.grad
        (tensor([2.]), tensor([12.]))
        """
        me = cast("Tensor", self)
        if not me.requires_grad:
            raise GraphError("retain_grad: expected a tensor that takes a gradient, got one that does not; call requires_grad_() first")
        if me._node is None or any(getattr(hook, "keeps_gradient", False) for hook in (me._node._grad_hooks or {}).values()):
            return
        itself = weakref.ref(me)

        def keep(gradient: Tensor) -> None:
            t = itself()
            if t is not None:
                t.grad = gradient.clone().detach() if t.grad is None else (t.grad + gradient).detach()

        keep.keeps_gradient = True  # type: ignore[attr-defined]  # a mark on the function, so that it is not hung up twice
        me.register_hook(keep)
