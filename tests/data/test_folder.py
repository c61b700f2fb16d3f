import sys

import numpy as np
import pytest

from neurenix.data import DataLoader, ImageMaskFolder
from neurenix.errors import ArgumentError, BackendUnavailableError, DTypeError, FileError, ShapeError
from neurenix.picture import save_picture

PICTURE = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.fixture
def folders(tmp_path):
    pytest.importorskip("PIL")
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    for name in "ab":
        save_picture(images / f"{name}.png", PICTURE)
        save_picture(masks / f"{name}.png", (PICTURE[..., 0] > 128).astype(np.uint8) * 7)
    return images, masks


def test_items_are_images_and_masks(folders):
    dataset = ImageMaskFolder(*folders)
    image, mask = dataset[1]
    assert len(dataset) == 2
    assert image.dtype == mask.dtype == np.float32
    assert np.array_equal(image, PICTURE.transpose(2, 0, 1).astype(np.float32) / np.float32(255))
    assert np.array_equal(mask[0], PICTURE[..., 0] > 128)
    image, mask = ImageMaskFolder(*folders, mask_type="classes", channels=1)[0]
    assert image.shape == (1, 20, 30)
    assert (mask.dtype, mask.shape, set(np.unique(mask))) == (np.int64, (20, 30), {0, 7})


def test_augmentation_keeps_pairs_together(folders):
    dataset = ImageMaskFolder(*folders, crop=16, flips=True, turns=True, repeats=8, transform=lambda image, mask: (image, mask))
    assert len(dataset) == 16
    for images, masks in DataLoader(dataset, 4, shuffle=True, seed=0, num_workers=2):
        assert images.shape == (4, 3, 16, 16)
        assert np.array_equal(images.numpy()[:, :1] * 255 > 128.5, masks.numpy() > 0)


def test_deep_grey_and_npy_files(folders):
    from PIL import Image

    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    Image.fromarray(deep).save(folders[0] / "c.png")
    np.save(folders[1] / "c.npy", deep > 0)
    for channels in (None, 1):
        image, mask = ImageMaskFolder(*folders, channels=channels)[2]
        assert np.array_equal(image[0], deep.astype(np.float32) / np.float32(65535))
        assert mask.sum() == 599


def test_files_without_a_partner_are_named(folders):
    save_picture(folders[0] / "lonely.png", PICTURE)
    save_picture(folders[1] / "left.png", PICTURE)
    (folders[0] / "notes.txt").write_text("not a picture")
    with pytest.raises(FileError, match=r"files without partner: images/lonely.png, masks/left.png; add what is missing"):
        ImageMaskFolder(*folders)
    dataset = ImageMaskFolder(*folders, unpaired="skip")
    assert len(dataset) == 2
    assert [p.name for p in dataset.unpaired] == ["lonely.png", "left.png"]


def test_masks_may_have_a_suffix(folders):
    for path in list(folders[1].iterdir()):
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    assert len(ImageMaskFolder(*folders, mask_suffix="_mask")) == 2
    with pytest.raises(FileError, match="expected images in .* got no pair"):
        ImageMaskFolder(*folders, unpaired="skip")


def test_bad_files(folders, tmp_path):
    save_picture(folders[1] / "a.png", PICTURE[:5, :, 0])
    with pytest.raises(ShapeError, match=r"expected a mask of \(20, 30\) pixels for a.png, got \(5, 30\)"):
        ImageMaskFolder(*folders)[0]
    (folders[0] / "b.png").write_bytes(b"not a PNG")
    with pytest.raises(FileError, match=r"expected a picture, got .*b.png"):
        ImageMaskFolder(*folders)[1]
    save_picture(folders[0] / "a.jpg", PICTURE)
    with pytest.raises(FileError, match=r"expected one file named 'a' in .*, got a.jpg and a.png"):
        ImageMaskFolder(*folders)
    with pytest.raises(FileError, match="expected a folder"):
        ImageMaskFolder(tmp_path / "nowhere", folders[1])


def test_png_needs_no_pillow(folders, monkeypatch):
    wanted = [ImageMaskFolder(*folders, channels=c)[1] for c in (None, 1, 3)]
    monkeypatch.setitem(sys.modules, "PIL", None)
    found = [ImageMaskFolder(*folders, channels=c)[1] for c in (None, 1, 3)]
    assert all(np.array_equal(x, y) for a, b in zip(wanted, found, strict=True) for x, y in zip(a, b, strict=True))


def test_without_pillow_the_remedy_is_named(folders, monkeypatch):
    (folders[0] / "a.png").rename(folders[0] / "a.jpg")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(BackendUnavailableError, match="^pillow: expected the package for reading a.jpg.*pip install"):
        ImageMaskFolder(*folders)[0]


@pytest.mark.parametrize("name", ["mask_type", "unpaired", "channels"])
def test_unknown_choices_are_refused(folders, name):
    with pytest.raises(ArgumentError, match=f"expected {name} to be one of"):
        ImageMaskFolder(*folders, **{name: "other"})


def one_mask(folders, values, **settings):
    """The mask of an image whose mask file holds ``values``."""
    from PIL import Image

    if isinstance(values, np.ndarray) and values.dtype == np.int16:
        (folders[1] / "a.png").unlink()
        np.save(folders[1] / "a.npy", values)
    else:
        (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(folders[1] / "a.png")
    return ImageMaskFolder(*folders, **settings)[0][1]


def tiled(*values, dtype=np.uint8):
    return np.resize(np.array(values, dtype), (20, 30))


def test_kinds_of_masks(folders):
    assert set(np.unique(one_mask(folders, tiled(0, 255)))) == {0, 1}
    assert one_mask(folders, tiled(0, 255)).shape == (1, 20, 30)
    classes = one_mask(folders, tiled(0, 1, 3, 255), mask_type="classes", num_classes=4, ignore_index=255)
    assert np.array_equal(classes, tiled(0, 1, 3, 255))
    objects = one_mask(folders, np.arange(600, dtype=np.uint16).reshape(20, 30) * 100, mask_type="instances")
    assert (objects.dtype, objects.max()) == (np.int64, 59900)
    grey = one_mask(folders, tiled(3, 100, 200), threshold=127)
    assert np.array_equal(grey[0], tiled(0, 0, 1))


def test_palettes_one_bit_and_colours(folders):
    from PIL import Image

    palette = Image.fromarray(tiled(0, 1, 2)).convert("P")
    palette.putdata(tiled(0, 1, 2).ravel().tolist())
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    assert np.array_equal(one_mask(folders, palette, mask_type="classes"), tiled(0, 1, 2))
    assert np.array_equal(one_mask(folders, Image.fromarray(tiled(0, 255)).convert("1"))[0], tiled(0, 1))
    grey = np.repeat(tiled(0, 1, 2)[..., None], 3, -1)
    assert np.array_equal(one_mask(folders, grey, mask_type="classes"), tiled(0, 1, 2))
    opaque = np.concatenate([grey, np.full((20, 30, 1), 255, np.uint8)], -1)
    assert np.array_equal(one_mask(folders, opaque, mask_type="classes"), tiled(0, 1, 2))
    colours = [(0, 0, 0), (128, 0, 0), (0, 64, 9)]
    coded = np.array(colours, np.uint8)[tiled(0, 1, 2)]
    assert np.array_equal(one_mask(folders, coded, mask_type="classes", colors=colours), tiled(0, 1, 2))
    assert np.array_equal(one_mask(folders, coded, mask_type="classes", colors=colours[::-1]), tiled(2, 1, 0))
    assert set(np.unique(one_mask(folders, coded, mask_type="instances"))) == {0, 128, 64 * 256 + 9 * 65536}


def test_masks_of_floats(folders):
    (folders[1] / "a.png").unlink()
    np.save(folders[1] / "a.npy", tiled(0, 1, 2, dtype=np.float32))
    assert ImageMaskFolder(*folders, mask_type="classes")[0][1].dtype == np.int64
    np.save(folders[1] / "a.npy", tiled(0.25, 1, dtype=np.float32))
    assert ImageMaskFolder(*folders, threshold=0.5)[0][1].sum() == 300
    with pytest.raises(
        DTypeError, match=r"expected whole numbers in the mask a.npy, got fractions from 0.25 to 1 \(float32\); pass mask_type"
    ):
        ImageMaskFolder(*folders)[0]


@pytest.mark.parametrize(
    ("values", "settings", "text"),
    [
        (
            tiled(0, 1, 2),
            {},
            "expected a binary mask (0 and one other value) in a.png, got 3 values 0, 1, 2 (uint8); pass mask_type='classes' for numbers of "
            "classes, mask_type='instances' for numbers of objects, or threshold= for shades of grey",
        ),
        (
            tiled(0, 255),
            {"mask_type": "classes"},
            "expected numbers of classes in a.png, got 2 values 0, 255 (uint8), which looks binary; pass mask_type='binary', or "
            "ignore_index=255, or num_classes=256 if 255 is a class",
        ),
        (
            np.arange(600, dtype=np.uint16).reshape(20, 30),
            {"mask_type": "classes"},
            "expected numbers of classes in a.png, got 600 values 0, 1, 2, 3, 4, 5, ..., 599 (uint16), which looks like numbers of objects; "
            "pass mask_type='instances', or num_classes=600",
        ),
        (
            tiled(0, 1, 17),
            {"mask_type": "classes", "num_classes": 3},
            "expected numbers of classes below 3 in a.png, got 3 values 0, 1, 17 (uint8); raise num_classes, or pass ignore_index= for the "
            "number of unlabelled pixels",
        ),
        (
            np.array([(0, 0, 0), (128, 0, 0)], np.uint8)[tiled(0, 1)],
            {"mask_type": "classes"},
            "expected one number a pixel in the mask a.png, got 2 colours (0, 0, 0), (128, 0, 0); pass mask_type='classes' and "
            "colors=[(0, 0, 0), (128, 0, 0)], whose order numbers the classes",
        ),
        (
            np.array([(0, 0, 0), (127, 0, 0)], np.uint8)[tiled(0, 1)],
            {"mask_type": "classes", "colors": [(0, 0, 0), (128, 0, 0)]},
            "expected the 2 colours of colors= in the mask a.png, got (127, 0, 0) at 300 pixels; add it to colors, or save masks without "
            "compression losses",
        ),
        (
            np.array([(0, 0, 0), (256, 0, 0), (0, 1, 0)], np.int16)[tiled(0, 1, 2)],  # two of them would have one number
            {"mask_type": "instances"},
            "expected colours of 8 bits in the mask a.npy, got int16; store one number a pixel",
        ),
        (
            tiled(0, -5, -100, dtype=np.int16),
            {"mask_type": "classes", "ignore_index": -100},
            "expected numbers of at least 0 in the mask a.npy, got 3 values -100, -5, 0 (int16); number from 0, 0 for background",
        ),
    ],
)
def test_a_mask_that_is_something_else_is_refused_with_what_was_seen(folders, values, settings, text):
    with pytest.raises(FileError) as caught:
        one_mask(folders, values, **settings)
    assert str(caught.value) == f"ImageMaskFolder: {text}"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"num_classes": 3}, "expected num_classes, ignore_index and colors with mask_type='classes' only, got mask_type='binary'"),
        ({"mask_type": "classes", "threshold": 3}, "expected threshold with mask_type='binary' only, got mask_type='classes'"),
        ({"mask_type": "classes", "colors": [(1, 2)]}, r"expected colors as \(red, green, blue\) from 0 to 255, got"),
        ({"mask_type": "classes", "num_classes": 0}, "expected num_classes to be an integer of at least 1, got 0"),
    ],
)
def test_settings_go_together(folders, settings, text):
    with pytest.raises(ArgumentError, match=text):
        ImageMaskFolder(*folders, **settings)


def test_deep_images_in_colour(folders):
    from PIL import Image

    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    Image.fromarray(deep).save(folders[0] / "a.png")
    assert np.array_equal(ImageMaskFolder(*folders, channels=3)[0][0], np.repeat(deep[None].astype(np.float32) / np.float32(65535), 3, 0))
    assert ImageMaskFolder(*folders, channels=1)[1][0].shape == (1, 20, 30)


@pytest.mark.parametrize("without", [None, "tifffile"])
def test_pages_are_items(tmp_path, monkeypatch, without):
    from PIL import Image

    images = np.random.default_rng(0).integers(0, 255, (4, 16, 12), np.uint8)
    masks = ((images > 100) * 255).astype(np.uint8)
    for name, stack in (("images", images), ("masks", masks)):
        pages = [Image.fromarray(page) for page in stack]
        pages[0].save(tmp_path / f"{name}.tif", save_all=True, append_images=pages[1:])
    if without:
        monkeypatch.setitem(sys.modules, without, None)
    dataset = ImageMaskFolder(tmp_path / "images.tif", tmp_path / "masks.tif", repeats=2)
    assert len(dataset) == 8
    for number in (0, 3, 7):
        image, mask = dataset[number]
        assert np.array_equal(image[0] * 255, images[number % 4])
        assert np.array_equal(mask[0], images[number % 4] > 100)
    pages[0].save(tmp_path / "masks.tif", save_all=True, append_images=pages[1:3])
    with pytest.raises(FileError, match=r"expected as many masks in masks.tif as images in images.tif \(4\), got 3; remove the pages"):
        ImageMaskFolder(tmp_path / "images.tif", tmp_path / "masks.tif")
    (tmp_path / "masks.tif").write_bytes(b"not a TIFF at all")
    with pytest.raises(FileError, match="expected an image file, got .*masks.tif"):
        ImageMaskFolder(tmp_path / "images.tif", tmp_path / "masks.tif")


def test_zarr_arrays(tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    images = np.random.default_rng(0).integers(0, 255, (3, 2, 8, 9), np.uint8)
    zarr.save_array(str(tmp_path / "images.zarr"), images)
    zarr.save_array(str(tmp_path / "masks.zarr"), images[:, 0] // 128)
    zarr.save_array(str(tmp_path / "one.zarr"), images[0, 0])
    group = zarr.open_group(str(tmp_path / "group.zarr"), mode="w")
    for name in ("labels", "image"):
        group.create_array(name, shape=(2, 2), dtype="u1")
    dataset = ImageMaskFolder(tmp_path / "images.zarr", tmp_path / "masks.zarr")
    image, mask = dataset[2]
    assert len(dataset) == 3
    assert np.array_equal(image * 255, images[2])
    assert np.array_equal(mask[0], images[2, 0] >= 128)
    assert ImageMaskFolder(tmp_path / "one.zarr", tmp_path / "one.zarr", threshold=127)[0][0].shape == (1, 8, 9)
    with pytest.raises(FileError, match=r"expected a Zarr array, got the group group.zarr with arrays image, labels; pass the path of one"):
        ImageMaskFolder(tmp_path / "group.zarr", tmp_path / "masks.zarr")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(BackendUnavailableError, match=r"expected the package for images.zarr, .*neurenix-multiscale\[zarr\]"):
        ImageMaskFolder(tmp_path / "images.zarr", tmp_path / "masks.zarr")


@pytest.mark.parametrize(
    ("image", "mask", "error", "text"),
    [
        (np.zeros((2, 2), complex), np.zeros((2, 2)), DTypeError, "ImageMaskFolder: expected numbers, got complex128 in a.npy"),
        (np.zeros((2, 2)), np.zeros((2, 2), complex), DTypeError, "expected numbers in the mask a.npy, got complex128"),
        (np.zeros((2, 2)), np.full((2, 2), np.inf), DTypeError, "expected whole numbers in the mask a.npy, got fractions from inf"),
        (np.zeros((0, 3)), np.zeros((0, 3, 4)), FileError, r"expected one channel or three in the mask a.npy, got shape \(0, 3, 4\)"),
    ],
)
def test_files_of_what_is_no_image(tmp_path, image, mask, error, text):
    for kind, values in (("images", image), ("masks", mask)):
        (tmp_path / kind).mkdir()
        np.save(tmp_path / kind / "a.npy", values)
    with pytest.raises(error, match=text):
        ImageMaskFolder(tmp_path / "images", tmp_path / "masks")[0]


def test_channels_of_a_file_are_one_image_as_they_are_where_it_is_predicted(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    image = np.random.default_rng(0).integers(0, 255, (5, 20, 30), np.uint8)
    tifffile.imwrite(tmp_path / "images.ome.tif", image, metadata={"axes": "CYX"})
    tifffile.imwrite(tmp_path / "masks.tif", np.eye(20, 30, dtype=np.uint8))
    dataset = ImageMaskFolder(tmp_path / "images.ome.tif", tmp_path / "masks.tif")
    assert len(dataset) == 1
    assert np.array_equal(np.rint(dataset[0][0] * 255), image)
