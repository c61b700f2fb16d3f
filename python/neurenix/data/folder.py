"""Folders of images and masks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from neurenix.data._checks import check_choice, check_positive
from neurenix.data.crops import RandomCrop
from neurenix.data.dataset import Dataset, Transform, check_count, check_transform, item_number
from neurenix.data.masks import mask_rule, read_mask
from neurenix.data.spatial import RandomHorizontalFlip, RandomRotate90, RandomVerticalFlip
from neurenix.data.transforms import Compose
from neurenix.errors import FileError, NeurenixWarning, ShapeError
from neurenix.images.channels import planes
from neurenix.images.opening import ENDINGS, count_images, read_image
from neurenix.picture import bits_above, far_below, scaled

_NAMED = 5  # so many file names in a message


class ImageMaskFolder(Dataset):
    """Images in one folder and their masks in another, paired by file name.

    An item is ``(image, mask)``: the image float32 (C, H, W), integers divided by their type's largest value or all by ``scale``; the
    mask float32 (1, H, W) of zeros and ones ("binary"), or int64 (H, W) ("classes", "instances"). They are read when they are asked for.

    Parameters
    ----------
    images, masks : path
        The folders, or one file each. Files are PNG, JPEG, BMP, GIF (read with Pillow), TIFF (tifffile, else Pillow), ``.npy`` arrays (H, W),
        (H, W, C) or (C, H, W), or Zarr arrays (zarr), in any mixture. Each page of a TIFF and each entry of a Zarr array (N, H, W) or
        (N, C, H, W) is an item.
    mask_type : {"binary", "classes", "instances"}
        What the masks hold: two values, 0 and another; numbers of classes; numbers of objects, 0 for background. A file that holds
        something else is refused, with what was seen in it.
    mask_suffix : str
        What a mask's name has more than its image's: ``"_mask"`` pairs ``a.jpg`` with ``a_mask.png``.
    channels : {1, 3}, optional
        Convert every image to grey or to RGB; as stored if ``None``.
    crop : int or (int, int), optional
        Size of a random window of each item.
    flips, turns : bool
        Random mirror images and quarter turns (half turns of oblong images), the same for image and mask.
    transform : callable, optional
        ``transform(image, mask)``, after the above.
    repeats : int
        How often each pair is counted.
    unpaired : {"error", "skip"}
        What to do about files without a partner; they are listed in the attribute of that name.
    num_classes : int, optional
        With "classes": numbers must be below it. Without it, what looks like a binary mask or like numbers of objects is refused.
    ignore_index : int, optional
        With "classes": a number that marks unlabelled pixels, kept as it is.
    colors : sequence of (int, int, int), optional
        With "classes", for masks that are pictures in colours: each class's red, green and blue, from class 0 on.
    threshold : float, optional
        With "binary", for masks in shades of grey: what lies above is 1.
    scale : float, optional
        What every image is divided by, such as 4095 for a camera's 12 bits; without it integers by their type's largest value. Where that
        leaves integers of more than 16 bits nearly black, a :class:`NeurenixWarning` says what they hold.

    Raises
    ------
    FileError
        If a folder is missing, has no pairs, or has files without a partner; when read, if a file cannot be, or a mask is not what
        ``mask_type`` says.
    ShapeError
        When read, if a mask has not its image's height and width.
    BackendUnavailableError
        If a file needs a package that is not installed.

    Notes
    -----
    A palette's numbers are the mask's numbers. Masks in grey that are stored as RGB are read as grey. In "instances", colours become
    numbers as ``red + 256 * green + 65536 * blue``. The check of a mask is made when it is read first.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from neurenix.data import ImageMaskFolder
    >>> for name in ("images", "masks"):
    ...     Path(name).mkdir()
    >>> np.save("images/a.npy", np.full((64, 64), 255, np.uint8))
    >>> np.save("masks/a.npy", np.eye(64, dtype=np.uint8) * 255)
    >>> image, mask = ImageMaskFolder("images", "masks", mask_type="binary")[0]
    >>> image.shape, float(image.max()), mask.shape, float(mask.sum())
    ((1, 64, 64), 1.0, (1, 64, 64), 64.0)
    """

    def __init__(
        self,
        images: str | os.PathLike[str],
        masks: str | os.PathLike[str],
        *,
        mask_type: Literal["binary", "classes", "instances"] = "binary",
        mask_suffix: str = "",
        channels: int | None = None,
        crop: int | tuple[int, int] | None = None,
        flips: bool = False,
        turns: bool = False,
        transform: Transform | None = None,
        repeats: int = 1,
        unpaired: Literal["error", "skip"] = "error",
        num_classes: int | None = None,
        ignore_index: int | None = None,
        colors: Sequence[tuple[int, int, int]] | None = None,
        threshold: float | None = None,
        scale: float | None = None,
    ) -> None:
        self.rule = mask_rule(mask_type, num_classes, ignore_index, colors, threshold)
        check_choice("ImageMaskFolder", "unpaired", unpaired, ("error", "skip"))
        self.channels = check_choice("ImageMaskFolder", "channels", channels, (None, 1, 3))
        self.repeats = check_count("ImageMaskFolder", "repeats", repeats)
        self.scale = None if scale is None else check_positive("ImageMaskFolder", "scale", scale, 4095)
        self.transform = _steps(crop, flips, turns, transform)
        self.mask_type = mask_type
        self.pairs, self.unpaired = find_pairs(Path(images), Path(masks), mask_suffix)
        if self.unpaired and unpaired == "error":
            raise FileError(
                f"ImageMaskFolder: expected a mask for every image, got files without partner: {_listed(self.unpaired)}; "
                "add what is missing, pass mask_suffix= if masks are named differently, or unpaired='skip'"
            )
        if not self.pairs:
            raise FileError(
                f"ImageMaskFolder: expected images in {images} with masks in {masks}, got no pair; check the folders and mask_suffix="
            )
        self.items = self.items_of_all()
        self._checked: set[int] = set()
        self._warned = False

    def items_of_all(self) -> list[tuple[Path, Path, int]]:
        """The items of all pairs, in order; read once, when a folder is made. A subclass that knows them otherwise overrides it.

        Examples
        --------
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from neurenix.data import ImageMaskFolder
        >>> for name in ("images", "masks"):
        ...     Path(name).mkdir()
        ...     np.save(f"{name}/a.npy", np.eye(8, dtype=np.uint8))
        ...     np.save(f"{name}/b.npy", np.eye(8, dtype=np.uint8))
        >>> folder = ImageMaskFolder("images", "masks")
        >>> [(image.name, mask.name, page) for image, mask, page in folder.items_of_all()]
        [('a.npy', 'a.npy', 0), ('b.npy', 'b.npy', 0)]
        """
        return [item for pair in self.pairs for item in self.items_of(pair)]

    def items_of(self, pair: tuple[Path, Path]) -> list[tuple[Path, Path, int]]:
        """A pair of files with the number of each of its pages; a subclass may choose among them.

        Raises
        ------
        FileError
            If the files hold different numbers of pages.

        Examples
        --------
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from neurenix.data import ImageMaskFolder
        >>> for name in ("images", "masks"):
        ...     Path(name).mkdir()
        ...     np.save(f"{name}/a.npy", np.eye(8, dtype=np.uint8))
        >>> folder = ImageMaskFolder("images", "masks")
        >>> folder.items_of((Path("images/a.npy"), Path("masks/a.npy")))[0][2]
        0
        """
        return [(*pair, page) for page in range(_pages(*pair))]

    def __len__(self) -> int:
        return len(self.items) * self.repeats

    def __getitem__(self, index: int) -> Any:
        number = item_number("ImageMaskFolder", index, len(self)) % len(self.items)
        image, mask = self.stored(number)
        return self.transform(self._scaled(image, number), mask)

    def stored(self, number: int) -> tuple[Any, Any]:
        """An item's image (C, H, W) as its file holds it, neither divided nor changed, and its mask.

        Raises
        ------
        FileError, ShapeError, DTypeError
            As of an item.

        Examples
        --------
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from neurenix.data import ImageMaskFolder
        >>> for name in ("images", "masks"):
        ...     Path(name).mkdir()
        ...     np.save(f"{name}/a.npy", np.eye(8, dtype=np.uint8))
        >>> image, mask = ImageMaskFolder("images", "masks").stored(0)
        >>> image.dtype, image.shape, mask.shape
        (dtype('uint8'), (1, 8, 8), (1, 8, 8))
        """
        image_path, mask_path, page = self.items[number]
        image = planes(read_image(image_path, page, self.channels), image_path, self.channels)
        pixels = read_image(mask_path, page)
        if pixels.shape[:2] != image.shape[-2:]:
            raise ShapeError(
                f"ImageMaskFolder: expected a mask of {image.shape[-2:]} pixels for {image_path.name}, "
                f"got {pixels.shape[:2]} in {mask_path.parent.name}/{mask_path.name}; the mask must have its image's size"
            )
        mask = read_mask(pixels, mask_path.name, self.rule, number not in self._checked)
        self._checked.add(number)
        return image, mask

    def _scaled(self, image: Any, number: int) -> Any:
        if self.scale is None and not self._warned and (most := far_below(image)) is not None:
            self._warned = True
            warnings.warn(
                f"ImageMaskFolder: {image.dtype} pixels of at most {most} in {self.items[number][0].name} are nearly black, divided by the "
                f"type's largest value; pass scale={bits_above(most)}",
                NeurenixWarning,
                stacklevel=3,
            )
        return scaled(image, self.scale)


def _steps(crop: int | tuple[int, int] | None, flips: bool, turns: bool, transform: Transform | None) -> Compose:
    """The transforms that these arguments ask for."""
    steps: list[Any] = [] if crop is None else [RandomCrop(crop)]
    steps += [RandomHorizontalFlip(), RandomVerticalFlip()] if flips else []
    steps += [RandomRotate90(keep_shape=True)] if turns else []
    extra = check_transform("ImageMaskFolder", transform)
    return Compose(steps if extra is None else [*steps, extra])


def find_pairs(images: Path, masks: Path, suffix: str = "") -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Pairs of files, in order of name, and the files that have no partner; two files are a pair whatever their names."""
    if all(p.exists() and p.suffix.lower() in ENDINGS for p in (images, masks)):
        return [(images, masks)], []
    pictures, drawings = _by_stem(images), _by_stem(masks)
    pairs = [(path, drawings[stem + suffix]) for stem, path in pictures.items() if stem + suffix in drawings]
    used = {path for pair in pairs for path in pair}
    return pairs, [path for path in (*pictures.values(), *drawings.values()) if path not in used]


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileError(f"ImageMaskFolder: expected a folder, got {str(folder)!r}, which is none; check the path")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in ENDINGS or path.name.startswith("."):
            continue
        stem = path.stem.removesuffix(".ome")  # of a.ome.tif, whose mask is a.png
        if stem in found:
            raise FileError(
                f"ImageMaskFolder: expected one file named {stem!r} in {folder}, got {found[stem].name} and {path.name}; remove one"
            )
        found[stem] = path
    return found


def _pages(image: Path, mask: Path) -> int:
    """How many items a pair of files holds."""
    count, other = count_images(image), count_images(mask)
    if count != other:
        raise FileError(
            f"ImageMaskFolder: expected as many masks in {mask.name} as images in {image.name} ({count}), got {other}; "
            "remove the pages that have no partner"
        )
    return count


def _listed(paths: list[Path]) -> str:
    names = ", ".join(f"{p.parent.name}/{p.name}" for p in paths[:_NAMED])
    return names if len(paths) <= _NAMED else f"{names} and {len(paths) - _NAMED} more"
