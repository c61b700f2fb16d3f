"""Wavelet transforms of images by lifting: Haar's, and the 5/3 of JPEG 2000."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from neurenix import ops
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.multiscale import _checks
from neurenix.nn.module import Module
from neurenix.tensor import Tensor, as_tensor


class Details(NamedTuple):
    """One scale's detail bands: what changes from row to row, from column to column, and both ways."""

    horizontal: Any
    vertical: Any
    diagonal: Any


class _Wavelet(Module):
    """A separable transform: rows, then columns; the band that is low both ways is transformed again."""

    _takes_arrays = True
    _name: ClassVar[str]

    def __init__(self, num_levels: int = 3) -> None:
        self.num_levels = _checks.levels(type(self).__name__, num_levels)
        self._original: Any = None

    def forward(self, x: Any) -> list[Any]:
        """Give ``num_levels`` triples of detail bands, finest first, then the low band; a tensor gives tensors, an array arrays."""
        op = type(self).__name__
        _checks.image_size(op, x)
        low = as_tensor(x)
        self._original = low.dtype
        low, found = low.to(ops.difference_type(op, low)), []
        for _ in range(self.num_levels):
            top, bottom = ops.lift(low, self._name, -2)
            (low, vertical), (horizontal, diagonal) = (ops.lift(y, self._name, -1) for y in (top, bottom))
            found.append((horizontal, vertical, diagonal))
        if isinstance(x, Tensor):
            return [*(Details(*d) for d in found), low]
        return [*(Details(*(y.data for y in d)) for d in found), low.data]

    def inverse(self, levels: Sequence[Any], *, dtype: Any = None) -> Any:
        """Give the image of these bands.

        Parameters
        ----------
        levels : list
            As ``forward`` gives them.
        dtype : optional
            Of an image of integers; its limits end what lies beyond. Without it: that of the last ``forward`` when its bands
            had this element type, otherwise the bands' own.

        Raises
        ------
        ArgumentError, ShapeError
            If there are more or fewer bands, or sizes that do not follow.
        DTypeError
            If element types differ, or ``dtype`` is not one whose bands have this type.

        Examples
        --------
        >>> import numpy as np, neurenix as nx
        >>> transform, image = nx.multiscale.HaarWavelet(2), np.arange(40, dtype=np.uint8).reshape(1, 5, 8)
        >>> bands = transform(image)
        >>> np.array_equal(transform.inverse(bands), image), bands[-1].dtype.name  # to the bit; of the last image's type
        (True, 'int16')
        >>> nx.multiscale.HaarWavelet(2).inverse(bands, dtype=np.uint8).dtype.name  # another one has to be told
        'uint8'
        """
        bands, low = self._returned(levels)
        for horizontal, vertical, diagonal in reversed(bands):
            top = ops.unlift(low, vertical, self._name, -1)
            low = ops.unlift(top, ops.unlift(horizontal, diagonal, self._name, -1), self._name, -2)
        low = ops.fitted(low, self._image_type(low, dtype))
        return low if isinstance(levels[-1], Tensor) else low.data

    def _image_type(self, low: Tensor, dtype: Any) -> Any:
        """The element type of the image that these bands are of."""
        if dtype is None:
            fits = self._original is not None and _band_type(self._original) == low.dtype
            return self._original if fits else low.dtype
        op = type(self).__name__
        if _band_type(dtype) != low.dtype and low.dtype != dtype:
            raise DTypeError(f"{op}: expected dtype of an image with bands of {low.dtype}, got {dtype!r}; leave it out")
        return dtype

    def _returned(self, levels: Any) -> tuple[list[list[Tensor]], Tensor]:
        """Bands given to ``inverse``, when they are as many, of one element type, and fit together."""
        op, n = type(self).__name__, self.num_levels
        if not isinstance(levels, Sequence) or isinstance(levels, str):
            raise DTypeError(f"{op}: expected a list of {n} triples and a low band, got {type(levels).__name__}; pass what forward gave")
        if len(levels) != n + 1 or any(not isinstance(d, Sequence) or len(d) != 3 for d in levels[:-1]):
            raise ArgumentError(f"{op}: expected {n} triples of bands and a low band, got {len(levels)} entries; pass what forward gave")
        low = as_tensor(levels[-1])
        _checks.image_size(f"{op}: low band", low)
        bands = [[as_tensor(y) for y in d] for d in levels[:-1]]
        size = low.shape[-2:]
        for i, triple in reversed(list(enumerate(bands))):
            size = _joined_size(f"{op}: level {i}", triple, low, size)
        return bands, low


def _band_type(dtype: Any) -> Any:
    """The element type of the bands of an image of ``dtype``."""
    return ops.difference_type("WaveletTransform", Tensor(shape=(0,), dtype=dtype))


def _joined_size(op: str, triple: Sequence[Tensor], low: Tensor, size: tuple[int, ...]) -> tuple[int, ...]:
    """The size of the image that three detail bands and a low one of ``size`` make."""
    lead, (h, w) = low.shape[:-2], size
    horizontal, vertical, _ = triple
    below = horizontal.shape[-2] if horizontal.ndim > 1 else -1
    right = vertical.shape[-1] if vertical.ndim > 1 else -1
    want = [(*lead, below, w), (*lead, h, right), (*lead, below, right)]
    if below not in (h, h - 1) or right not in (w, w - 1) or [y.shape for y in triple] != want:
        raise ShapeError(
            f"{op}: expected bands that fit a low band of {(*lead, h, w)}, got {' and '.join(str(y.shape) for y in triple)}; pass what forward gave"
        )
    for y in triple:
        if y.dtype != low.dtype:
            raise DTypeError(f"{op}: expected bands of {low.dtype} like the low band, got {y.dtype}; convert it with .to()")
    return h + below, w + right


class HaarWavelet(_Wavelet):
    """Haar's wavelet transform: means and differences of each two pixels, along both axes, then again on the means.

    Parameters
    ----------
    num_levels : int
        1 to 32 scales.

    Raises
    ------
    ArgumentError
        If the number of levels is out of range.

    Notes
    -----
    Of two pixels ``a, b`` the difference is ``d = a - b`` and the mean ``b + d / 2``, for integers rounded down (the S-transform).
    The low band is an image in the range of the first; a last row or column without a partner is its own mean.

    | entry            | shape                                 | element type                                                       |
    | ---------------- | ------------------------------------- | ------------------------------------------------------------------ |
    | ``i.horizontal`` | ``(..., floor(h / 2), ceil(w / 2))``  | the image's for floats; int16 for 8 bits, int32 for 16, else int64 |
    | ``i.vertical``   | ``(..., ceil(h / 2), floor(w / 2))``  | likewise                                                           |
    | ``i.diagonal``   | ``(..., floor(h / 2), floor(w / 2))`` | likewise                                                           |
    | last             | ``(..., ceil(h / 2), ceil(w / 2))``   | likewise                                                           |

    with h = ceil(H / 2**i), w = ceil(W / 2**i). ``inverse(forward(x))`` is ``x``, at every size: to the bit for integers; for
    floats within ``4 + num_levels`` ulps (units in the last place) of the largest magnitude in ``x``. Both ways are differentiable for
    floats. PyWavelets scales otherwise: its ``"haar"`` has the low band times ``2**num_levels``, level i's horizontal and vertical
    details times ``2**i`` and its diagonal ones times ``2**(i - 1)``.

    References
    ----------
    .. [1] A. Haar, "Zur Theorie der orthogonalen Funktionensysteme", Mathematische Annalen 69, 1910.
    .. [2] A. Said, W. Pearlman, "An image multiresolution representation for lossless and lossy compression", IEEE Trans. Image
       Processing 5, 1996.

    Examples
    --------
    >>> import neurenix as nx
    >>> transform = nx.multiscale.HaarWavelet(1)
    >>> details, low = transform(nx.tensor([[[9, 7], [4, 0]]]))
    >>> low.tolist(), details.horizontal.tolist(), details.vertical.tolist(), details.diagonal.tolist()
    ([[[4]]], [[[6]]], [[[3]]], [[[-2]]])
    >>> transform.inverse([details, low]).tolist()
    [[[9, 7], [4, 0]]]
    """

    _name = "haar"


class CDF53Wavelet(_Wavelet):
    """The 5/3 wavelet transform of Cohen, Daubechies and Feauveau, by Le Gall's and Tabatabai's filters, as in JPEG 2000.

    Parameters
    ----------
    num_levels : int
        1 to 32 scales.

    Raises
    ------
    ArgumentError
        If the number of levels is out of range.

    Notes
    -----
    Every second pixel becomes its distance from the mean of its two neighbours, ``d[k] = x[2k + 1] - (x[2k] + x[2k + 2]) / 2``; the
    others gain a quarter of both distances, ``s[k] = x[2k] + (d[k - 1] + d[k]) / 4``. Integers are rounded as JPEG 2000 does without
    loss (down, and to the nearest). Beyond the border the image is mirrored about its edge pixels; rows come first.

    | entry            | shape                                 | element type                                                       |
    | ---------------- | ------------------------------------- | ------------------------------------------------------------------ |
    | ``i.horizontal`` | ``(..., floor(h / 2), ceil(w / 2))``  | the image's for floats; int16 for 8 bits, int32 for 16, else int64 |
    | ``i.vertical``   | ``(..., ceil(h / 2), floor(w / 2))``  | likewise                                                           |
    | ``i.diagonal``   | ``(..., floor(h / 2), floor(w / 2))`` | likewise                                                           |
    | last             | ``(..., ceil(h / 2), ceil(w / 2))``   | likewise                                                           |

    with h = ceil(H / 2**i), w = ceil(W / 2**i). ``inverse(forward(x))`` is ``x``, at every size: to the bit for integers; for
    floats within ``8 + num_levels`` ulps (units in the last place) of the largest magnitude in ``x``. Both ways are differentiable for
    floats. PyWavelets' ``"bior2.2"`` is the same filter with the scales named at :class:`HaarWavelet` and horizontal and vertical
    details of the other sign.

    References
    ----------
    .. [1] D. Le Gall, A. Tabatabai, "Sub-band coding of digital images using symmetric short kernel filters and arithmetic coding
       techniques", ICASSP 1988.
    .. [2] ISO/IEC 15444-1, "JPEG 2000 image coding system: core coding system", annex F.

    Examples
    --------
    >>> import neurenix as nx
    >>> transform = nx.multiscale.CDF53Wavelet(1)
    >>> details, low = transform(nx.tensor([[[1, 2, 3, 4, 9]]]))
    >>> low.tolist(), details.vertical.tolist()
    ([[[1, 3, 8]]], [[[0, -2]]])
    >>> transform.inverse([details, low]).tolist()
    [[[1, 2, 3, 4, 9]]]
    """

    _name = "cdf53"
