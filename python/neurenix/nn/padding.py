"""Layers that add pixels around a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix import ops
from neurenix.errors import ArgumentError
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor

_ENDS = ("left", "right", "top", "bottom", "front", "back")


class _Pad(Module):
    """Pad the last axes the same way at every call."""

    _axes, _mode = 2, "constant"

    def __init__(self, padding: Any) -> None:
        self.padding = _ends(type(self).__name__, padding, self._axes)

    def forward(self, input: Any) -> Tensor:
        """Pad."""
        return ops.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        """Both ends of each axis, the last axis first."""
        return f"{self.padding}"


def _ends(name: str, padding: Any, axes: int) -> tuple[int, ...]:
    values = list(padding) if isinstance(padding, Sequence) else [padding] * (2 * axes)
    if len(values) != 2 * axes:
        ends = ", ".join(_ENDS[: 2 * axes])
        raise ArgumentError(f"{name}: expected padding as one number or {2 * axes}, got {padding!r}; pass ({ends})")
    return tuple(integer(name, "padding", v, -(1 << 62)) for v in values)


class ConstantPad2d(_Pad):
    """Pixels of one value around (N, C, H, W) or (C, H, W); negative numbers crop.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)
    value : float

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ConstantPad2d((1, 0, 0, 0), 7.0)(nx.tensor([[[1.0, 2.0]]])).numpy()[0]
    array([[7., 1., 2.]], dtype=float32)
    """

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Tensor:
        """Pad."""
        return ops.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """Both ends of each axis, the last axis first, and the value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(ConstantPad2d):
    """Elements of one value around (N, C, L) or (C, L); see :class:`ConstantPad2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ConstantPad1d((2, 1), -1.0)(nx.tensor([[1.0, 2.0]])).tolist()
    [[-1.0, -1.0, 1.0, 2.0, -1.0]]
    """

    _axes = 1


class ZeroPad2d(_Pad):
    """Zeros around (N, C, H, W) or (C, H, W); negative numbers crop.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ZeroPad2d((1, 0, 0, 0))(nx.tensor([[[1.0, 2.0]]])).numpy()[0]
    array([[0., 1., 2.]], dtype=float32)
    """


class ZeroPad1d(_Pad):
    """Zeros around (N, C, L) or (C, L); see :class:`ZeroPad2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ZeroPad1d((1, -1))(nx.tensor([[1.0, 2.0, 3.0]])).tolist()  # a negative number crops
    [[0.0, 1.0, 2.0]]
    """

    _axes = 1


class ReflectionPad2d(_Pad):
    """The map mirrored at its edge, which is not repeated.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ReflectionPad2d((1, 1, 0, 0))(nx.tensor([[[1.0, 2.0, 3.0]]])).numpy()[0]
    array([[2., 1., 2., 3., 2.]], dtype=float32)
    """

    _mode = "reflect"


class ReflectionPad1d(ReflectionPad2d):
    """The signal mirrored at its ends; see :class:`ReflectionPad2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ReflectionPad1d(2)(nx.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]]
    """

    _axes = 1


class ReplicationPad2d(_Pad):
    """The map's edge repeated.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ReplicationPad2d((2, 0, 0, 0))(nx.tensor([[[1.0, 2.0]]])).numpy()[0]
    array([[1., 1., 1., 2.]], dtype=float32)
    """

    _mode = "replicate"


class ReplicationPad1d(ReplicationPad2d):
    """The signal's ends repeated; see :class:`ReplicationPad2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ReplicationPad1d(2)(nx.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0]]
    """

    _axes = 1


class CircularPad2d(_Pad):
    """Around the map its other end: rows and columns go on as if it were a torus.

    Parameters
    ----------
    padding : int or (left, right, top, bottom)

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.CircularPad2d((1, 0, 0, 0))(nx.tensor([[[1.0, 2.0, 3.0]]])).numpy()[0]
    array([[3., 1., 2., 3.]], dtype=float32)
    """

    _mode = "circular"


class CircularPad1d(CircularPad2d):
    """Beside the signal (N, C, L) or (C, L) its other end; see :class:`CircularPad2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.CircularPad1d(2)(nx.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0]]
    """

    _axes = 1


class ConstantPad3d(ConstantPad2d):
    """Voxels of one value around (N, C, D, H, W) or (C, D, H, W); see :class:`ConstantPad2d`.

    ``padding`` is one number or six: (left, right, top, bottom, front, back).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ConstantPad3d((0, 0, 0, 0, 1, 1), 7.0)(nx.zeros(1, 2, 1, 1))[0, :, 0, 0].tolist()  # a plane before and behind
    [7.0, 0.0, 0.0, 7.0]
    """

    _axes = 3


class ZeroPad3d(_Pad):
    """Zeros around (N, C, D, H, W) or (C, D, H, W), six numbers or one; see :class:`ZeroPad2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ZeroPad3d((0, 0, 0, 0, 1, 2))(nx.Tensor(shape=(1, 2, 4, 5, 6))).shape
    (1, 2, 7, 5, 6)
    """

    _axes = 3


class ReflectionPad3d(ReflectionPad2d):
    """The volume (N, C, D, H, W) or (C, D, H, W) mirrored at its faces; see :class:`ReflectionPad2d`.

    ``padding`` is one number or six: (left, right, top, bottom, front, back).

    Examples
    --------
    >>> import neurenix as nx
    >>> stack = nx.tensor([10.0, 20.0, 30.0]).reshape(1, 3, 1, 1)  # three planes
    >>> nx.nn.ReflectionPad3d((0, 0, 0, 0, 2, 0))(stack)[0, :, 0, 0].tolist()
    [30.0, 20.0, 10.0, 20.0, 30.0]
    """

    _axes = 3


class ReplicationPad3d(ReplicationPad2d):
    """The faces of the volume (N, C, D, H, W) or (C, D, H, W) repeated; see :class:`ReplicationPad2d`.

    ``padding`` is one number or six: (left, right, top, bottom, front, back).

    Examples
    --------
    >>> import neurenix as nx
    >>> stack = nx.tensor([10.0, 20.0, 30.0]).reshape(1, 3, 1, 1)  # three planes
    >>> nx.nn.ReplicationPad3d((0, 0, 0, 0, 2, 0))(stack)[0, :, 0, 0].tolist()
    [10.0, 10.0, 10.0, 20.0, 30.0]
    """

    _axes = 3


class CircularPad3d(CircularPad2d):
    """Around the volume (N, C, D, H, W) or (C, D, H, W) its other end; see :class:`CircularPad2d`.

    ``padding`` is one number or six: (left, right, top, bottom, front, back).

    Examples
    --------
    >>> import neurenix as nx
    >>> stack = nx.tensor([10.0, 20.0, 30.0]).reshape(1, 3, 1, 1)  # three planes
    >>> nx.nn.CircularPad3d((0, 0, 0, 0, 2, 0))(stack)[0, :, 0, 0].tolist()
    [20.0, 30.0, 10.0, 20.0, 30.0]
    """

    _axes = 3
