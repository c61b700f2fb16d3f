import sys

import numpy as np
import pytest

from neurenix.data import DataLoader, ImageMaskFolder
from neurenix.errors import ArgumentError, BackendUnavailableError, FileError, ShapeError
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
    with pytest.raises(ShapeError, match=r"expected a mask of \(20, 30\) pixels and one channel for a.png, got \(5, 30\)"):
        ImageMaskFolder(*folders)[0]
    (folders[0] / "b.png").write_bytes(b"not a PNG")
    with pytest.raises(FileError, match=r"expected a picture, got .*b.png"):
        ImageMaskFolder(*folders)[1]
    save_picture(folders[0] / "a.jpg", PICTURE)
    with pytest.raises(FileError, match=r"expected one file named 'a' in .*, got a.jpg and a.png"):
        ImageMaskFolder(*folders)
    with pytest.raises(FileError, match="expected a folder"):
        ImageMaskFolder(tmp_path / "nowhere", folders[1])


def test_without_pillow_the_remedy_is_named(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(BackendUnavailableError, match="pip install pillow"):
        ImageMaskFolder(*folders)[0]


@pytest.mark.parametrize("name", ["mask_type", "unpaired", "channels"])
def test_unknown_choices_are_refused(folders, name):
    with pytest.raises(ArgumentError, match=f"expected {name} to be one of"):
        ImageMaskFolder(*folders, **{name: "other"})
