"""Moving a module's parameters and buffers to another device or element type."""

from __future__ import annotations

import itertools
from typing import Any, Self

from neurenix._typing import DeviceLike, DTypeLike
from neurenix.errors import DTypeError
from neurenix.nn.finding import Finding
from neurenix.ops import state
from neurenix.ops.convert import target


class Moving(Finding):
    """What changes where, or as what, a module's numbers are kept; always in place."""

    def to(self, *args: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None, non_blocking: bool = False) -> Self:  # noqa: ARG002
        """Move parameters and buffers to a device, or floating ones to another floating type, in place; ``non_blocking`` has no effect.

        Parameters
        ----------
        *args
            A device such as ``"cuda"``, an element type such as ``nx.float64``, both, or a tensor whose device and type are taken.
        dtype, device
            The same by name.

        Raises
        ------
        DTypeError
            If the type is not a floating one.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.BatchNorm2d(4).to("cpu").to(nx.float64)
        >>> model.weight.dtype, model.num_batches_tracked.dtype  # integers stay as they are
        (dtype('float64'), dtype('int64'))
        """
        dtype, device = target(args, dtype, device)
        if dtype is not None and not state.is_float_type(dtype):
            raise DTypeError(f"to: expected a floating type for a module, got {dtype!r}; pass e.g. nx.float64")
        for t in itertools.chain(self.parameters(), self.buffers()):
            state.move(t, dtype, device)
        return self

    def float(self) -> Self:
        """Make parameters and floating buffers float32.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.nn.Linear(2, 2, dtype=nx.float64).float().weight.dtype
        dtype('float32')
        """
        return self.to(dtype="float32")

    def double(self) -> Self:
        """Make parameters and floating buffers float64, e.g. to check gradients.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.nn.Linear(2, 2).double().weight.dtype
        dtype('float64')
        """
        return self.to(dtype="float64")

    def half(self) -> Self:
        """Make parameters and floating buffers float16: half the memory, about 3 decimal digits.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer = nx.nn.Linear(2, 2).half()
        >>> layer.weight.dtype, layer.weight.element_size()
        (dtype('float16'), 2)
        """
        return self.to(dtype="float16")

    def cpu(self) -> Self:
        """Move parameters and buffers to the CPU.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.nn.Linear(2, 2).cpu().weight.device
        'cpu'
        """
        return self.to(device="cpu")

    def type(self, dst_type: DTypeLike) -> Self:
        """Make parameters and floating buffers of another floating type.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.nn.Linear(2, 2).type(nx.float64).bias.dtype
        dtype('float64')
        """
        return self.to(dtype=dst_type)

    def cuda(self, index: int = 0) -> Self:
        """Move parameters and buffers to the GPU ``cuda:index``.

        Raises
        ------
        BackendUnavailableError
            If CuPy or the GPU is missing.

        Examples
        --------
        >>> import neurenix as nx
        >>> model = nx.nn.Linear(2, 2)
        >>> model = model.cuda() if nx.cuda.is_available() else model
        >>> model.weight.is_cuda == nx.cuda.is_available()
        True
        """
        return self.to(device=f"cuda:{index}")
