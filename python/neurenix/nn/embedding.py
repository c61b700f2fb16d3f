"""A table of trained vectors."""

from __future__ import annotations

from typing import Any

from neurenix import ops
from neurenix._typing import DeviceLike, DTypeLike
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import init
from neurenix.nn.module import Module
from neurenix.nn.parameter import Parameter
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor, as_tensor


class Embedding(Module):
    """A trained vector for each of ``num_embeddings`` numbers: (*) integers give (*, embedding_dim).

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows of the table, and their length.
    padding_idx : int, optional
        A row that starts at zero and takes no gradient; negative numbers count from the end.
    max_norm : None
        PyTorch's renormalisation, which changes the table while it is read, is refused.
    norm_type : float
        Goes with ``max_norm``.
    scale_grad_by_freq : bool
        Whether a row's gradient is divided by how often the row was taken.
    sparse : False
        Sparse gradients are refused.
    device, dtype
        Of the table; the default device and float32 where ``None``.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)
        Standard normal at first.

    Raises
    ------
    ArgumentError
        If a number is too small, ``padding_idx`` is no row, or ``max_norm`` or ``sparse`` is given.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.Embedding(10, 4, padding_idx=0)
    >>> y = layer(nx.tensor([[1, 2, 0]]))
    >>> y.shape, y[0, 2].tolist()
    ((1, 3, 4), [0.0, 0.0, 0.0, 0.0])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.num_embeddings = n = integer("Embedding", "num_embeddings", num_embeddings, 1)
        self.embedding_dim = integer("Embedding", "embedding_dim", embedding_dim, 1)
        if max_norm is not None or sparse:
            raise ArgumentError(f"Embedding: expected max_norm=None and sparse=False, got {max_norm!r} and {sparse!r}; leave them out")
        if padding_idx is not None and not -n <= integer("Embedding", "padding_idx", padding_idx, -(1 << 62)) < n:
            raise ArgumentError(f"Embedding: expected padding_idx from {-n} to {n - 1}, got {padding_idx}; pass a row's number")
        self.padding_idx = None if padding_idx is None else padding_idx % n
        self.norm_type, self.scale_grad_by_freq = norm_type, bool(scale_grad_by_freq)
        self.weight = Parameter(Tensor(shape=(n, self.embedding_dim), dtype=dtype, device=device))
        self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """Make one from a table (count, size), which is not trained unless ``freeze`` is false.

        Parameters
        ----------
        embeddings : Tensor or array, shape (count, size)
            Its element type and device are the layer's.
        freeze : bool
            Whether to leave the table untrained.
        padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
            As of :class:`Embedding`.

        Raises
        ------
        ShapeError
            If the table is not a matrix.

        Examples
        --------
        >>> import neurenix as nx
        >>> table = nx.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
        >>> layer = nx.nn.Embedding.from_pretrained(table)
        >>> layer(nx.tensor([2, 0])).tolist(), layer.weight.requires_grad
        ([[3.0, 4.0], [0.0, 0.0]], False)
        """
        table = as_tensor(embeddings)
        if table.ndim != 2:
            raise ShapeError(f"Embedding: expected embeddings (count, size), got shape {table.shape}; reshape them")
        count, size = table.shape
        layer = cls(count, size, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, table.device, table.dtype)
        layer.weight.assign_(table.detach())
        layer.weight.requires_grad_(not freeze)
        return layer

    def reset_parameters(self) -> None:
        """Draw the table anew from the standard normal distribution; the padding row is zero.

        Examples
        --------
        >>> import neurenix as nx
        >>> layer = nx.nn.Embedding(3, 2, padding_idx=0)
        >>> layer.reset_parameters()
        >>> layer.weight[0].tolist()
        [0.0, 0.0]
        """
        init.normal_(self.weight)
        if self.padding_idx is not None:
            rows = ops.reshape(ops.arange(self.num_embeddings, device=self.weight.device), (-1, 1))
            self.weight.assign_(ops.masked_fill(self.weight.detach(), ops.eq(rows, self.padding_idx), 0.0))

    def forward(self, input: Any) -> Tensor:
        """Take rows."""
        return ops.embedding(input, self.weight, self.padding_idx, None, self.norm_type, self.scale_grad_by_freq)

    def extra_repr(self) -> str:
        """Sizes, then what is not at its default."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        text += "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return text + (", scale_grad_by_freq=True" if self.scale_grad_by_freq else "")
