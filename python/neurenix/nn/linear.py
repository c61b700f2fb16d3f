"""The linear layer, and what stands beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from neurenix import ops
from neurenix._typing import DeviceLike, DTypeLike
from neurenix.nn import init
from neurenix.nn.module import Module
from neurenix.nn.parameter import Parameter
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor


class Linear(Module):
    """``x @ weight.T + bias`` over the last axis of (..., in_features).

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
        Whether to add a trained number to each output.
    device, dtype
        Of the parameters; the default device and float32 where ``None``.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
        Uniform in plus or minus ``1 / sqrt(in_features)`` at first.
    bias : Parameter, shape (out_features,), or None

    Raises
    ------
    ArgumentError
        If a size is not an integer of at least 1.
    ShapeError
        In the call, if the last axis has another size.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.Linear(3, 2)
    >>> layer(nx.zeros(4, 5, 3)).shape  # any number of axes before the last
    (4, 5, 2)
    >>> _ = layer.weight.assign_([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), layer.bias.assign_([10.0, 0.0])
    >>> layer(nx.tensor([1.0, 2.0, 3.0])).tolist()
    [11.0, 6.0]
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: DeviceLike | None = None, dtype: DTypeLike | None = None
    ) -> None:
        self.in_features = integer("Linear", "in_features", in_features, 1)
        self.out_features = integer("Linear", "out_features", out_features, 1)
        self.weight = Parameter(Tensor(shape=(self.out_features, self.in_features), dtype=dtype, device=device))
        self.bias = Parameter(Tensor(shape=(self.out_features,), dtype=dtype, device=device)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, each uniform in plus or minus ``1 / sqrt(in_features)``.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer = nx.nn.Linear(16, 4)
        >>> layer.reset_parameters()
        >>> layer.weight.abs().max().item() <= 1 / 16**0.5
        True
        """
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1.0 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Tensor:
        """Map the last axis."""
        return ops.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes, and whether there is a bias."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """``x1^T weight[o] x2 + bias[o]`` for every output o: (*, in1_features) and (*, in2_features) give (*, out_features).

    Parameters
    ----------
    in1_features, in2_features, out_features : int
    bias : bool
        Whether to add a trained number to each output.
    device, dtype
        Of the parameters; the default device and float32 where ``None``.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in1_features, in2_features)
        Uniform in plus or minus ``1 / sqrt(in1_features)`` at first.
    bias : Parameter, shape (out_features,), or None

    Raises
    ------
    ArgumentError
        If a size is not an integer of at least 1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Bilinear(3, 4, 5)(nx.Tensor(shape=(2, 3)), nx.Tensor(shape=(2, 4))).shape
    (2, 5)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.in1_features = integer("Bilinear", "in1_features", in1_features, 1)
        self.in2_features = integer("Bilinear", "in2_features", in2_features, 1)
        self.out_features = integer("Bilinear", "out_features", out_features, 1)
        shape = (self.out_features, self.in1_features, self.in2_features)
        self.weight = Parameter(Tensor(shape=shape, dtype=dtype, device=device))
        self.bias = Parameter(Tensor(shape=(self.out_features,), dtype=dtype, device=device)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, each uniform in plus or minus ``1 / sqrt(in1_features)``.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer = nx.nn.Bilinear(4, 3, 2)
        >>> layer.reset_parameters()
        >>> layer.weight.abs().max().item() <= 1 / 4**0.5
        True
        """
        bound = 1.0 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Tensor:
        """Join the last axes of both."""
        return ops.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes, and whether there is a bias."""
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"


class Identity(Module):
    """Give the input back; takes any arguments, so that it can stand in for any layer.

    Examples
    --------
    >>> import neurenix as nx
    >>> model = nx.nn.Sequential(nx.nn.Linear(8, 8), nx.nn.ReLU(), nx.nn.Linear(8, 10))
    >>> model[2] = nx.nn.Identity()  # features instead of classes
    >>> model(nx.ones(1, 8)).shape
    (1, 8)
    """

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """Give ``input`` back."""
        return input

    def extra_repr(self) -> str:
        """Nothing."""
        return ""


class Flatten(Module):
    """Join the axes from ``start_dim`` to ``end_dim``; the batch axis stays by default.

    Parameters
    ----------
    start_dim, end_dim : int
        The first and the last axis that are joined; negative numbers count from the end.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.zeros(2, 3, 4, 5)
    >>> nx.nn.Flatten()(x).shape, nx.nn.Flatten(2)(x).shape
    ((2, 60), (2, 3, 20))
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        low = -(1 << 30)
        self.start_dim, self.end_dim = integer("Flatten", "start_dim", start_dim, low), integer("Flatten", "end_dim", end_dim, low)

    def forward(self, input: Any) -> Tensor:
        """Join the axes."""
        return ops.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Both axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Cut one axis into several.

    Parameters
    ----------
    dim : int
        The axis.
    unflattened_size : sequence of int
        What becomes of it; one may be -1.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Unflatten(1, (3, -1))(nx.zeros(2, 12)).shape
    (2, 3, 4)
    """

    _shown = ("dim", "unflattened_size")

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim = integer("Unflatten", "dim", dim, -(1 << 30))
        self.unflattened_size = tuple(integer("Unflatten", "unflattened_size", n, -1) for n in unflattened_size)

    def forward(self, input: Any) -> Tensor:
        """Cut the axis."""
        return ops.unflatten(input, self.dim, self.unflattened_size)
