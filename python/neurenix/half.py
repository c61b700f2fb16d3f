"""Half precision where it pays: under :class:`autocast` convolutions and matrix products take and give rounded numbers.

Arrays stay float32, and what is rounded to bfloat16 or float16 is a float32 that such a number equals. So every other
operation (norms, softmax, losses, sums, the optimizer) is float32 without being told, weights are masters, and the result
is the same bits on every processor. NumPy has no bfloat16, and one more type of arrays would double the kernel table; on a
GPU half-precision storage is the business of the kernels that profit from it. On a CPU bfloat16 is for speed, so what it does
not speed up is float32; float16 is there to see what a GPU would do, and rounds everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ContextDecorator
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from neurenix.backend.devices import device
from neurenix.errors import ArgumentError, DTypeError

bfloat16: Final = "bfloat16"  # a name: no array has this type
_USUAL: Final = {"cpu": bfloat16}
_types: ContextVar[Mapping[str, str | None]] = ContextVar("autocast", default=MappingProxyType({}))  # by type of device; None is off


class autocast(ContextDecorator):  # noqa: N801 - PyTorch's name
    """Context manager and decorator under which convolutions and matrix products are computed from half-precision numbers.

    Parameters
    ----------
    device_type : str
        "cpu" or "cuda": tensors there are meant.
    dtype : nx.bfloat16 or nx.float16, optional
        float16 on a GPU and bfloat16 on a CPU if ``None``. Training in float16 needs a :class:`neurenix.amp.GradScaler`.
    enabled : bool
        ``False`` turns it off inside another one.
    cache_enabled : bool, optional
        Taken for PyTorch's sake and without effect: rounded weights are kept until they change where no gradient is recorded.

    Raises
    ------
    ArgumentError
        For another device or type.

    Notes
    -----
    Each input and the result of ``conv*d``, ``conv_transpose*d``, ``linear``, ``matmul`` and what is made of them is rounded to the nearest
    number of the type, ties to even, and so is each gradient that backward takes in and gives; sums inside are float32. Everything
    else is float32 as always, also what lies between two convolutions, which PyTorch stores rounded. float64 is left alone. Gradient
    checkpointing remembers the setting, and backward may run outside the ``with``.

    On a CPU bfloat16 is computed in pairs (``vdpbf16ps`` where the processor has it, the same bits elsewhere) by the products that gain from
    it: ``linear``, ``matmul`` with one matrix, and direct convolutions of maps, each of the three of a layer (forward and both gradients)
    with more than 8 outputs and sums of at least 32 products. All others are float32 and are not rounded: those by Winograd's
    algorithm (3x3 windows at stride 1, at least 16 channels), which needs fewer products than pairs do, depthwise layers, volumes, biases and
    their gradients. Denormal numbers count as zero in pairs, and in a weight's gradient a NaN or infinity may spread to neighbouring taps.
    Under ``"ieee"``, and in float16, everything is rounded around float32 kernels, as on a GPU, to test such a training: that takes time.

    References
    ----------
    .. [1] P. Micikevicius et al., "Mixed precision training", ICLR 2018.

    Examples
    --------
    >>> import neurenix as nx
    >>> x, w = nx.full((1, 32), 1.001), nx.ones(16, 32)
    >>> with nx.autocast("cpu", dtype=nx.bfloat16):
    ...     print(nx.nn.functional.linear(x, w)[0, 0].item())  # 1.001 lies between 1 and 1.0078125
    32.0
    """

    def __init__(self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None) -> None:
        self.device_type = _device_type("autocast", device_type)
        self.fast_dtype = _USUAL.get(self.device_type, "float16") if dtype is None else _half("autocast", dtype)
        self.enabled, self.cache_enabled = bool(enabled), cache_enabled
        self._before: list[Mapping[str, str | None]] = []

    def _recreate_cm(self) -> autocast:
        return type(self)(self.device_type, self.fast_dtype, self.enabled, self.cache_enabled)

    def __enter__(self) -> autocast:
        before = _types.get()
        self._before.append(before)
        _types.set({**before, self.device_type: self.fast_dtype if self.enabled else None})
        return self

    def __exit__(self, *_: object) -> None:
        _types.set(self._before.pop())


def _device_type(op: str, name: Any) -> str:
    try:
        given = device(name)
    except ArgumentError:
        given = None
    if given is None or given.index is not None:
        raise ArgumentError(f'{op}: expected device_type "cpu" or "cuda", got {name!r}; pass e.g. x.device.type')
    return str(given)


def _half(op: str, dtype: Any) -> str:
    """The name of a half-precision type, whatever names it: ours, NumPy's, that of ml_dtypes."""
    if dtype == bfloat16:
        return bfloat16
    try:
        name = str(np.dtype(dtype).name)
    except TypeError:
        name = repr(dtype)
    if name not in ("float16", bfloat16):
        raise DTypeError(f"{op}: expected dtype nx.bfloat16 or nx.float16, got {name}; float32 needs no autocast")
    return name


def is_autocast_enabled(device_type: str) -> bool:
    """Whether convolutions and products of tensors on this type of device are rounded here.

    Examples
    --------
    >>> import neurenix as nx
    >>> with nx.autocast("cpu"):
    ...     nx.is_autocast_enabled("cpu"), nx.is_autocast_enabled("cuda")
    (True, False)
    """
    return _types.get().get(_device_type("is_autocast_enabled", device_type)) is not None


def get_autocast_dtype(device_type: str) -> Any:
    """The type that :class:`autocast` rounds to here, or would by default: ``nx.bfloat16`` or ``nx.float16``.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.get_autocast_dtype("cpu"), nx.get_autocast_dtype("cuda") is nx.float16
    ('bfloat16', True)
    """
    name = _device_type("get_autocast_dtype", device_type)
    chosen = _types.get().get(name) or _USUAL.get(name, "float16")
    return bfloat16 if chosen == bfloat16 else np.float16


def is_on() -> bool:
    """Whether any block of autocast is around."""
    return bool(_types.get())


def chosen(name: str) -> str | None:
    """The type, by name, that tensors on a device are rounded to here; ``None`` where they are not."""
    return _types.get().get(name.partition(":")[0])
