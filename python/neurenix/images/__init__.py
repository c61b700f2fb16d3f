"""Images in files of any size: sources that read a window of one, writers that take it a band of rows at a time. One module a format."""

from neurenix.images.opening import count_images as count_images, open_image as open_image
from neurenix.images.source import Metadata as Metadata, Rows as Rows, Source as Source
