"""A tensor's ways out: to other types and devices, DLPack to other libraries, copies and pickles to other places and processes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import neurenix
from neurenix import layout
from neurenix._typing import Array, DeviceLike, DTypeLike
from neurenix.errors import GraphError

if TYPE_CHECKING:
    import neurenix.ops
    from neurenix.tensor import Tensor


class TransferMethods:
    """Other devices, DLPack, ``copy`` and ``pickle`` for :class:`neurenix.Tensor`."""

    __slots__ = ()
    _array: Array

    def to(self, *args: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None, non_blocking: bool = False) -> Tensor:  # noqa: ARG002
        """The tensor on another device or of another element type: ``x.to("cuda")``, ``x.to(nx.float64)``.

        ``non_blocking`` has no effect; a loader with ``pin_memory=True`` and a ``device`` copies beside the computing.

        Examples
        --------
        >>> import neurenix as nx
        >>> x = nx.tensor([1, 2]).to(nx.float64)
        >>> x.dtype, x.to("cpu") is x
        (dtype('float64'), True)
        """
        dtype, device = neurenix.ops.target(args, dtype, device)
        out = cast("Tensor", self) if dtype is None else neurenix.ops.cast(self, dtype)
        return out if device is None else neurenix.ops.to_device(out, device)

    def cpu(self) -> Tensor:
        """The tensor on the CPU.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.zeros(2).cpu().device
        'cpu'
        """
        return self.to(device="cpu")

    def cuda(self, index: int = 0) -> Tensor:
        """The tensor on a GPU, by number; a :class:`BackendUnavailableError` where it is not there.

        Examples
        --------
        >>> import neurenix as nx
        >>> x = nx.zeros(2)
        >>> y = x.cuda() if nx.cuda.is_available() else x
        """
        return self.to(device=f"cuda:{index}")

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule over the memory, for ``from_dlpack`` of another library; what is written there is seen here.

        A flipped view, whose steps are negative, is copied unless ``copy=False``: PyTorch takes none.
        """
        asked = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        array = cast("Tensor", self).data
        if copy is None and any(step < 0 for step in array.strides):
            array = layout.copy(array)
        return array.__dlpack__(**{k: v for k, v in asked.items() if v is not None})

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self._array.__dlpack_device__()
        return device

    def __copy__(self) -> Any:
        """Another tensor over the same memory and in the same graph."""
        twin, me = object.__new__(type(self)), cast("Tensor", self)
        _restore(twin, (me.data, True, me.grad, me.requires_grad, me._logits), getattr(self, "__dict__", None))
        cast("Tensor", twin)._node = me._node
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Another tensor over memory of its own; tensors that shared memory share it again."""
        (array, exposed, *rest), more = self.__getstate__()
        twin = memo[id(self)] = object.__new__(type(self))
        if id(array) not in memo:
            memo[id(array)] = layout.copy(array)
        _restore(twin, (memo[id(array)], exposed, *copy.deepcopy(rest, memo)), copy.deepcopy(more, memo))
        return twin

    def __getstate__(self) -> tuple[Any, ...]:
        me = cast("Tensor", self)
        if me._node is not None:
            raise GraphError(
                "copy.deepcopy and pickle: expected a leaf, got the result of an operation, whose graph stays where it is; copy x.detach()"
            )
        return (me._array, me._exposed, me.grad, me.requires_grad, me._logits), getattr(self, "__dict__", None)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _restore(self, *state)


def _restore(t: Any, kept: tuple[Any, ...], more: dict[str, Any] | None) -> None:
    """Fill an empty tensor; subclasses may have attributes of their own."""
    array, exposed, grad, requires_grad, logits = kept
    t._fill(array)
    t._exposed, t.grad, t.requires_grad, t._logits = exposed, grad, requires_grad, logits
    if more:
        vars(t).update(more)
