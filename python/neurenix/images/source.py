"""What every format gives: pixels (C, H, W) of which a window is read, and what is known about the image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

import numpy as np

from neurenix.errors import DTypeError, FileError, ShapeError

Array: TypeAlias = "np.ndarray[Any, Any]"


class Metadata(NamedTuple):
    """What a file says about its image beside the pixels.

    Attributes
    ----------
    axes : str
        As the file names them.
    pixel_size : (float, float), optional
        Of rows and columns, in ``unit``.
    unit : str
    tags : tuple
        Of a TIFF: number, type, count and value of what says where the image lies on earth.
    resolution : tuple, optional
        Of a TIFF: pixels a unit along columns and rows, and which unit.

    Examples
    --------
    >>> from neurenix.images import Metadata
    >>> Metadata(pixel_size=(0.25, 0.25), unit="µm")
    Metadata(axes='YX', pixel_size=(0.25, 0.25), unit='µm', tags=(), resolution=None)
    """

    axes: str = "YX"
    pixel_size: tuple[float, float] | None = None  # rows and columns, in ``unit``
    unit: str = ""
    tags: tuple[tuple[int, int, int, Any], ...] = ()  # of a TIFF: number, type, count and value, where the image lies on earth
    resolution: tuple[Any, Any, int] | None = None  # of a TIFF: pixels a unit along columns and rows, and which unit


class Source:
    """An image in a file, read a window at a time.

    Parameters
    ----------
    path : path
    shape : (int, int, int)
        Channels, rows and columns, as they are stored.
    dtype : numpy.dtype
    metadata : Metadata

    Raises
    ------
    DTypeError
        If the pixels are no numbers.
    ShapeError
        If there are none.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from neurenix.images import Source
    >>> class Black(Source):
    ...     def read(self, rows, columns):
    ...         return np.zeros((self.shape[0], rows.stop - rows.start, columns.stop - columns.start), self.dtype)
    >>> with Black(Path("black.raw"), (3, 1000, 2000), "uint8") as image:
    ...     image.read(slice(0, 10), slice(0, 20)).shape
    (3, 10, 20)
    """

    sequential = False  # whether reading begins at the first row whatever is asked for

    def __init__(self, path: Path, shape: tuple[int, int, int], dtype: Any, metadata: Metadata = Metadata()) -> None:  # noqa: B008 - a constant
        self.path, self.shape, self.dtype, self.metadata = path, shape, np.dtype(dtype), metadata
        if self.dtype.kind not in "biuf":
            raise DTypeError(f"open_image: expected numbers, got {self.dtype} in {path.name}; store integers or floats")
        if 0 in shape:
            raise ShapeError(f"open_image: expected pixels, got shape {shape} in {path.name}; leave the file out")

    def read(self, rows: slice, columns: slice) -> Array:
        """The window's pixels (C, h, w), in the file's element type; both slices have a start and a stop within the image.

        Raises
        ------
        FileError
            If the file is damaged.

        Examples
        --------
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from neurenix.images import open_image
        >>> np.save("slide.npy", np.arange(12).reshape(3, 4))
        >>> open_image(Path("slide.npy")).read(slice(0, 2), slice(2, 4)).tolist()
        [[[2, 3], [6, 7]]]
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a method read(self, rows, columns), got none; define it")

    def held_bytes(self, rows: int) -> int:
        """Memory, in bytes, that reading windows of so many rows keeps between them; 0 where windows are read as they are asked for.

        Examples
        --------
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from neurenix.images import open_image
        >>> np.save("slide.npy", np.zeros((30, 40)))
        >>> open_image(Path("slide.npy")).held_bytes(16)
        0
        """
        return 0 * rows

    def close(self) -> None:
        """Let the file go; also at the end of a ``with``.

        Examples
        --------
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from neurenix.images import open_image
        >>> np.save("slide.npy", np.zeros((30, 40)))
        >>> source = open_image(Path("slide.npy"))
        >>> source.close()
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Held(Source):
    """An image whose format cannot be read in parts: it is in memory.

    Parameters
    ----------
    path : path
    pixels : array, shape (H, W) or (H, W, C)
    metadata : Metadata
    """

    def __init__(self, path: Path, pixels: Array, metadata: Metadata = Metadata()) -> None:  # noqa: B008 - a constant
        if pixels.ndim not in (2, 3):
            raise ShapeError(f"open_image: expected (H, W) or (H, W, C), got shape {pixels.shape} in {path.name}; store one image a file")
        self._pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        channels, height, width = self._pixels.shape
        super().__init__(path, (channels, height, width), pixels.dtype, metadata)

    def read(self, rows: slice, columns: slice) -> Array:
        """As :meth:`Source.read`."""
        return np.ascontiguousarray(self._pixels[:, rows, columns])

    def held_bytes(self, rows: int) -> int:
        """As :meth:`Source.held_bytes`."""
        return self._pixels.nbytes + 0 * rows


class Converted(Source):
    """An image with as many channels as are asked for.

    Parameters
    ----------
    source : Source
    channels : int
    convert : callable
        A window (C, h, w) of the source to one of ``channels`` channels, a pixel at a time.
    """

    def __init__(self, source: Source, channels: int, convert: Any) -> None:
        super().__init__(source.path, (channels, *source.shape[1:]), source.dtype, source.metadata)
        self._source, self._convert, self.sequential = source, convert, source.sequential
        self.dtype = convert(np.zeros((source.shape[0], 1, 1), source.dtype)).dtype

    def read(self, rows: slice, columns: slice) -> Array:
        """As :meth:`Source.read`."""
        window: Array = self._convert(self._source.read(rows, columns))
        return window

    def held_bytes(self, rows: int) -> int:
        """As :meth:`Source.held_bytes`."""
        return self._source.held_bytes(rows)

    def close(self) -> None:
        """As :meth:`Source.close`."""
        self._source.close()


class Rows(Protocol):
    """Pixels (K, H, W) that a writer asks for a band of rows at a time: anything with these three.

    Examples
    --------
    >>> import numpy as np
    >>> class Ramp:
    ...     shape, dtype = (1, 100, 50), np.dtype("uint8")
    ...     def read(self, plane, rows):
    ...         return np.tile(np.arange(rows.start, rows.stop, dtype="uint8")[:, None], 50)
    >>> Ramp().read(0, slice(2, 4))[:, 0].tolist()
    [2, 3]
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows, columns.

        Examples
        --------
        >>> from typing import NamedTuple
        >>> class Blank(NamedTuple):
        ...     shape: tuple[int, int, int]
        >>> Blank((1, 1000, 2000)).shape
        (1, 1000, 2000)
        """

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the pixels.

        Examples
        --------
        >>> import numpy as np
        >>> class Mask:
        ...     dtype = np.dtype("uint8")
        >>> Mask().dtype
        dtype('uint8')
        """

    def read(self, plane: int, rows: slice, /) -> Array:
        """Rows of one plane, (h, W), of the element type that ``dtype`` says.

        Examples
        --------
        >>> import numpy as np
        >>> class Mask:
        ...     def read(self, plane, rows, /):
        ...         return np.zeros((rows.stop - rows.start, 2000), "uint8")
        >>> Mask().read(0, slice(0, 16)).shape
        (16, 2000)
        """


def unreadable(path: Path, error: object) -> FileError:
    """The error for a file that cannot be read."""
    return FileError(f"open_image: expected an image file, got {str(path)!r}: {error}; check that the file is whole")


def read_box(file: int, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], box: tuple[slice, ...]) -> Array:
    """A box out of an array that lies in a file in C order: only the runs of bytes that it is made of are read.

    A memory map would count every page that it touched as the process's memory, and a file that shrinks meanwhile would kill the process.

    Raises
    ------
    EOFError
        If the file ends before.
    """
    out = np.empty([s.stop - s.start for s in box], dtype)
    if out.size == 0:
        return out
    whole = len(box)  # axes from here on are read completely: one run of bytes for each index before
    while whole > 1 and (box[whole - 1].start, box[whole - 1].stop) == (0, shape[whole - 1]):
        whole -= 1
    strides = [dtype.itemsize * int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]
    runs = out.reshape(-1, int(np.prod(out.shape[whole - 1 :]))).view(np.uint8)
    for run, place in zip(runs, np.ndindex(*out.shape[: whole - 1]), strict=True):
        at = offset + sum((s.start + i) * step for s, i, step in zip(box, (*place, 0), strides, strict=False))
        _read_all(file, run, at)
    return out


def _read_all(file: int, into: Array, at: int) -> None:
    view = memoryview(into.data)
    while view:
        got = os.preadv(file, [view], at)
        if not got:
            raise EOFError(f"it ends at byte {at}")
        view, at = view[got:], at + got
