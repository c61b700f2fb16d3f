"""What a tensor has to do with gradients, as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import neurenix
from neurenix import autograd, backend, layout, lazy
from neurenix.errors import DTypeError, GraphError, ShapeError

if TYPE_CHECKING:
    from neurenix.tensor import Tensor


class GradientMethods:
    """Gradients as methods of :class:`neurenix.Tensor`."""

    __slots__ = ()

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for a gradient, or stop asking; only on tensors that no recorded operation made.

        Raises
        ------
        DTypeError
            If the elements are not floats.
        GraphError
            If an operation's result is to stop.

        Examples
        --------
        >>> import neurenix as nx
        >>> x = nx.zeros(2).requires_grad_()
        >>> x
        tensor([0., 0.], requires_grad=True)
        """
        me = cast("Tensor", self)
        if requires_grad and not me.is_floating_point():
            raise DTypeError(f"requires_grad_: expected a float tensor, got {me.dtype}; convert it with .float()")
        if me._node is not None and not requires_grad:
            raise GraphError("requires_grad_: expected a leaf, got the result of an operation; use .detach()")
        me.requires_grad = requires_grad
        return me

    def detach(self) -> Tensor:
        """The same array, cut from the graph: no gradient flows back from it.

        Examples
        --------
        >>> import neurenix as nx
        >>> x = nx.tensor([3.0], requires_grad=True)
        >>> (x * x.detach()).backward()
        >>> x.grad
        tensor([3.])
        """
        me = cast("Tensor", self)
        me._exposed = True  # the other one's .data is this one's memory
        return neurenix.Tensor._wrap(me._array)

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor to ``grad`` of every leaf it was made from.

        Parameters
        ----------
        gradient : Tensor, optional
            Weight of each element; 1 for a tensor of one element.
        retain_graph : bool
            Keep the graph for another call.

        Raises
        ------
        GraphError
            If nothing was recorded, the graph was freed, or an input was overwritten since.
        ShapeError
            If ``gradient`` is missing on a tensor of several elements, or has another shape.

        Examples
        --------
        >>> import neurenix as nx
        >>> x = nx.tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.])
        """
        me = cast("Tensor", self)
        autograd.backward([(me, autograd.cotangent(me, gradient))], retain_graph)

    def assign_(self, value: Any) -> Tensor:
        """Overwrite a leaf with other values of its shape and type.

        Raises
        ------
        GraphError
            If a recorded operation made this tensor.
        ShapeError
            If the value has another shape or type.

        Examples
        --------
        >>> import neurenix as nx
        >>> weight = nx.nn.Linear(2, 1).weight
        >>> _ = weight.assign_([[1.0, 2.0]])
        >>> weight.tolist()
        [[1.0, 2.0]]
        """
        from neurenix.tensor import as_tensor

        me = cast("Tensor", self)
        if me._node is not None:
            raise GraphError("assign_: expected a leaf, got the result of an operation; use .detach()")
        if lazy.is_loading():
            return me  # its values come from a file
        array = as_tensor(value, me)._array
        if array.shape != me.shape or array.dtype != me.dtype:
            raise ShapeError(f"assign_: expected {me.dtype}{me.shape}, got {array.dtype}{array.shape}; reshape or convert it")
        me._array = backend.to_device(layout.copy(array), me.device)
        me._version += 1
        return me
