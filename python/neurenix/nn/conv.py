"""Convolution layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from neurenix import ops
from neurenix._typing import DeviceLike, DTypeLike
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import init
from neurenix.nn.module import Module
from neurenix.nn.parameter import Parameter
from neurenix.ops._arguments import choice, integer, integers
from neurenix.ops.conv import zeros_around
from neurenix.tensor import Tensor

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What convolutions and their transposes share: arguments, weight and bias."""

    _axes = 2
    weight: Parameter
    bias: Parameter | None
    padding: Any

    def _set(
        self,
        in_channels: Any,
        out_channels: Any,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: Any,
        padding_mode: Any,
    ) -> None:
        name, n = type(self).__name__, self._axes
        self.in_channels = integer(name, "in_channels", in_channels, 1)
        self.out_channels = integer(name, "out_channels", out_channels, 1)
        self.kernel_size = integers(name, "kernel_size", kernel_size, n, 1)
        self.stride = integers(name, "stride", stride, n, 1)
        self.dilation = integers(name, "dilation", dilation, n, 1)
        self.groups = integer(name, "groups", groups, 1)
        self.padding_mode = choice(name, "padding_mode", padding_mode, _PADDING_MODES)
        self._zeros = zeros_around(name, padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else integers(name, "padding", padding, n, 0)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ArgumentError(
                f"{name}: expected groups that divide in_channels={in_channels} and out_channels={out_channels}, got {groups}; pass a divisor"
            )

    def _make_parameters(self, shape: tuple[int, ...], bias: bool, device: DeviceLike | None, dtype: DTypeLike | None) -> None:
        self.weight = Parameter(Tensor(shape=shape, dtype=dtype, device=device))
        self.bias = Parameter(Tensor(shape=(self.out_channels,), dtype=dtype, device=device)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, each uniform in plus or minus ``1 / sqrt(fan_in)``.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer = nx.nn.Conv2d(3, 8, 5)
        >>> layer.reset_parameters()
        >>> layer.weight.abs().max().item() <= 1 / (3 * 5 * 5) ** 0.5
        True
        """
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1.0 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        """Channels and window, then what is not at its default."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        ones, zeros = (1,) * self._axes, (0,) * self._axes
        if self.padding != zeros:
            text += f", padding={self.padding}"
        if self.dilation != ones:
            text += f", dilation={self.dilation}"
        text += f", output_padding={out}" if (out := getattr(self, "output_padding", zeros)) != zeros else ""
        text += f", groups={self.groups}" if self.groups != 1 else ""
        text += ", bias=False" if self.bias is None else ""
        return text + (f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "")


class _Gather(_Conv):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self._set(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self._make_parameters(shape, bias, device, dtype)

    def _surround(self, x: Any) -> tuple[Any, Any]:
        """The input and the padding that is left to the convolution: other modes than zeros are added here."""
        if self.padding_mode == "zeros" or not any(map(any, self._zeros)):
            return x, self.padding
        ends = [n for pair in reversed(self._zeros) for n in pair]
        return ops.pad(x, ends, self.padding_mode), 0


class Conv1d(_Gather):
    """Convolve (N, C, L) or (C, L) along its last axis; see :class:`Conv2d` for the arguments.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.Conv1d(1, 1, 3, padding=1, bias=False)
    >>> _ = layer.weight.assign_([[[1.0, 0.0, -1.0]]])
    >>> layer(nx.tensor([[0.0, 1.0, 4.0, 9.0]])).tolist()  # correlation: left neighbour less the right one
    [[-1.0, -4.0, -8.0, 4.0]]
    """

    _axes = 1

    def forward(self, input: Any) -> Tensor:
        """Convolve."""
        x, padding = self._surround(input)
        return ops.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Gather):
    """Convolve (N, C, H, W) or (C, H, W) with a window of trained weights.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or (int, int)
        The window, its steps, the distance of its weights.
    padding : int, (int, int), "valid" or "same"
        Pixels added on every side; "same" keeps the size at stride 1.
    groups : int
        Cut the channels into so many groups, each with its own outputs.
    bias : bool
        Whether to add a trained number to each output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the added pixels are.
    device, dtype
        Of the parameters; the default device and float32 where ``None``.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, kH, kW)
        Uniform in plus or minus ``1 / sqrt(fan_in)`` at first.
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ArgumentError
        If a number is too small, groups do not divide the channels, or a name is unknown.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.Conv2d(3, 8, 3, stride=2, padding=1)
    >>> layer(nx.zeros(1, 3, 5, 7)).shape, layer.weight.shape  # rounded up: (5 + 2 - 3) // 2 + 1 rows
    ((1, 8, 3, 4), (8, 3, 3, 3))
    >>> nx.nn.Conv2d(8, 8, 3, padding="same", groups=8, padding_mode="reflect")
    Conv2d(8, 8, kernel_size=(3, 3), stride=(1, 1), padding=same, groups=8, padding_mode=reflect)
    """

    _evaluated: Any = None  # of the last pass in evaluation, see neurenix.nn._evaluated

    def forward(self, input: Any) -> Tensor:
        """Convolve."""
        x, padding = self._surround(input)
        return ops.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv3d(_Gather):
    """Convolve (N, C, D, H, W) or (C, D, H, W) with a window of trained weights; see :class:`Conv2d` for the arguments.

    ``weight`` has the shape (out_channels, in_channels / groups, kD, kH, kW); a tuple of three numbers goes along depth,
    height and width, e.g. ``kernel_size=(1, 3, 3)`` for stacks whose planes lie far apart.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.Conv3d(2, 4, (1, 3, 3), padding=(0, 1, 1))
    >>> layer(nx.zeros(1, 2, 5, 6, 7)).shape, layer.weight.shape
    ((1, 4, 5, 6, 7), (4, 2, 1, 3, 3))
    """

    _axes = 3

    def forward(self, input: Any) -> Tensor:
        """Convolve."""
        x, padding = self._surround(input)
        return ops.conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _Scatter(_Conv):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Sequence[int] = 1,
        padding_mode: str = "zeros",
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        name = type(self).__name__
        if padding_mode != "zeros" or isinstance(padding, str):
            raise ArgumentError(
                f"{name}: expected padding as numbers with padding_mode='zeros', got {padding!r}, {padding_mode!r}; pass those"
            )
        self._set(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode)
        self.output_padding = integers(name, "output_padding", output_padding, self._axes, 0)
        if any(e >= max(s, d) for e, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True)):
            raise ArgumentError(f"{name}: expected output_padding below stride or dilation, got {output_padding!r}; pass less")
        self._make_parameters((self.in_channels, self.out_channels // self.groups, *self.kernel_size), bias, device, dtype)

    def _extra(self, x: Tensor, output_size: Any) -> tuple[int, ...]:
        """The output padding that gives ``output_size``."""
        if output_size is None:
            return self.output_padding
        n, name = self._axes, type(self).__name__
        values = list(output_size) if isinstance(output_size, Sequence) else [output_size] * n
        sizes = tuple(integer(name, "output_size", size, 1) for size in values)[-n:]
        least, extra = [], []
        for i, size in enumerate(sizes):
            reach = self.dilation[i] * (self.kernel_size[i] - 1) + 1
            least.append((x.shape[i - n] - 1) * self.stride[i] - 2 * self._zeros[i][0] + reach)
            extra.append(size - least[i])
        if len(sizes) != n or any(not 0 <= e < max(s, d) for e, s, d in zip(extra, self.stride, self.dilation, strict=True)):
            most = [low + max(s, d) - 1 for low, s, d in zip(least, self.stride, self.dilation, strict=False)]
            raise ShapeError(
                f"{name}: expected output_size from {tuple(least)} to {tuple(most)} for {x.shape}, got {sizes}; pass one of them"
            )
        return tuple(extra)


class ConvTranspose1d(_Scatter):
    """Spread (N, C, L) or (C, L) along its last axis; see :class:`ConvTranspose2d` for the arguments.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.ConvTranspose1d(8, 4, 3, stride=2, padding=1)
    >>> x = nx.Tensor(shape=(1, 8, 5))
    >>> layer(x).shape, layer(x, output_size=10).shape  # (5 - 1) * 2 - 2 * 1 + 3, and one more
    ((1, 4, 9), (1, 4, 10))
    """

    _axes = 1

    def forward(self, input: Any, output_size: Any = None) -> Tensor:
        """Spread; ``output_size`` chooses among the sizes that the same input could have come from."""
        extra = self._extra(input, output_size)
        return ops.conv_transpose1d(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)


class ConvTranspose2d(_Scatter):
    """Spread each pixel of (N, C, H, W) or (C, H, W) over a window: the transpose of :class:`Conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or (int, int)
        The window, its steps in the output, the distance of its weights.
    padding : int or (int, int)
        Pixels cut off on every side.
    output_padding : int or (int, int)
        Pixels added at the bottom and right; below stride or dilation.
    groups : int
    bias : bool
    padding_mode : {"zeros"}
    device, dtype
        Of the parameters; the default device and float32 where ``None``.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, kH, kW)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ArgumentError
        If a number is too small or too large, or groups do not divide the channels.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ConvTranspose2d(8, 4, 2, stride=2)(nx.Tensor(shape=(1, 8, 5, 7))).shape
    (1, 4, 10, 14)
    """

    def forward(self, input: Any, output_size: Any = None) -> Tensor:
        """Spread; ``output_size`` chooses among the sizes that the same input could have come from."""
        extra = self._extra(input, output_size)
        return ops.conv_transpose2d(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)


class ConvTranspose3d(_Scatter):
    """Spread each voxel of (N, C, D, H, W) or (C, D, H, W) over a window; see :class:`ConvTranspose2d` for the arguments.

    ``weight`` has the shape (in_channels, out_channels / groups, kD, kH, kW).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.ConvTranspose3d(8, 4, 2, stride=2)(nx.Tensor(shape=(1, 8, 3, 5, 7))).shape
    (1, 4, 6, 10, 14)
    """

    _axes = 3

    def forward(self, input: Any, output_size: Any = None) -> Tensor:
        """Spread; ``output_size`` chooses among the sizes that the same input could have come from."""
        extra = self._extra(input, output_size)
        return ops.conv_transpose3d(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)
