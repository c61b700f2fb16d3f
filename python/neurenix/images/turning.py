"""Images whose files say that they are shown mirrored or turned: TIFF's tag 274, EXIF in PNG and JPEG."""

from __future__ import annotations

from neurenix.images.source import Array, Metadata, Source
from neurenix.picture import upright


class Turned(Source):
    """An image as programs show it, whose file holds it mirrored or turned.

    Parameters
    ----------
    source : Source
        As the file holds it.
    orientation : int
        From 2 to 8, as TIFF and EXIF number them.
    """

    def __init__(self, source: Source, orientation: int) -> None:
        channels, height, width = source.shape
        self._source, self._orientation, self._swapped = source, orientation, orientation >= 5
        shape = (channels, width, height) if self._swapped else source.shape
        super().__init__(source.path, shape, source.dtype, self._metadata(source.metadata))

    def _metadata(self, stored: Metadata) -> Metadata:
        """Rows and columns exchanged, where they are."""
        if not self._swapped:
            return stored
        size, resolution = stored.pixel_size, stored.resolution
        return stored._replace(
            pixel_size=None if size is None else (size[1], size[0]),
            resolution=None if resolution is None else (resolution[1], resolution[0], resolution[2]),
        )

    def read(self, rows: slice, columns: slice) -> Array:
        """As :meth:`Source.read`."""
        _, height, width = self.shape
        rows = slice(height - rows.stop, height - rows.start) if self._orientation in (3, 4, 7, 8) else rows
        columns = slice(width - columns.stop, width - columns.start) if self._orientation in (2, 3, 6, 7) else columns
        stored = self._source.read(columns, rows) if self._swapped else self._source.read(rows, columns)
        return upright(stored.transpose(1, 2, 0), self._orientation).transpose(2, 0, 1).copy()

    def held_bytes(self, rows: int) -> int:
        """As :meth:`Source.held_bytes`."""
        return self._source.held_bytes(rows)

    def close(self) -> None:
        """As :meth:`Source.close`."""
        self._source.close()
