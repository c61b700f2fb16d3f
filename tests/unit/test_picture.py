import sys

import numpy as np
import pytest

from neurenix import Tensor
from neurenix.errors import ArgumentError, BackendUnavailableError, DTypeError, FileError, ShapeError
from neurenix.picture import contours, overlay, read_picture, rgb, save_picture, scaled

SQUARE = np.zeros((7, 7), bool)
SQUARE[1:6, 1:6] = True
RED = (255, 0, 0)


def test_contours_lie_inside_and_are_as_thick_as_told():
    ring = SQUARE.copy()
    ring[2:5, 2:5] = False
    assert np.array_equal(contours(SQUARE.astype(int)), ring)
    ring[2:5, 2:5] = True
    ring[3, 3] = False
    assert np.array_equal(contours(SQUARE.astype(int), 2), ring)
    assert not contours(SQUARE.astype(int), 0).any()
    assert not contours(np.ones((3, 3), int)).any()  # the image's edge is no contour


def test_overlay_draws_edge_and_tint_and_leaves_the_rest():
    image = np.full((7, 7, 3), 100, np.uint8)
    out = overlay(image, SQUARE, color=RED, fill=0.5)
    assert out.dtype == np.uint8
    assert out[0, 0].tolist() == [100, 100, 100]
    assert out[1, 1].tolist() == [255, 0, 0]
    assert out[3, 3].tolist() == [178, 50, 50]
    assert image.max() == 100


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((7, 7)),
        np.zeros((7, 7, 1)),
        np.zeros((1, 7, 7)),
        np.zeros((3, 7, 7)),
        np.zeros((7, 7, 4), np.uint8),
        Tensor(np.zeros((3, 7, 7))),
    ],
)
def test_images_and_masks_of_any_form(image):
    want = overlay(np.zeros((7, 7, 3), np.uint8), SQUARE, color=RED)
    for mask in (SQUARE, SQUARE[None], SQUARE[..., None] * 0.9, SQUARE.astype(int) * 4, Tensor(SQUARE * 1.0)):
        assert np.array_equal(overlay(image, mask, color=RED), want)


def test_each_label_has_its_colour_and_touching_ones_a_line_between():
    labels = np.repeat([[0, 1, 1, 1, 2, 2, 2]], 7, 0)
    out = overlay(np.zeros((7, 7)), labels, fill=0)
    colours = {tuple(c) for c in out.reshape(-1, 3).tolist()}
    assert len(colours) == 3
    assert out[3, 2].tolist() == [0, 0, 0]  # inside
    assert out[3, 3].any()
    assert out[3, 4].any()


def test_greys_are_stretched_and_nothing_finite_is_survived():
    assert rgb(np.array([[0.0, 0.5], [1.0, np.nan]]))[..., 0].tolist() == [[0, 128], [255, 0]]
    assert rgb(np.array([[100, 300]], np.uint16))[0, :, 1].tolist() == [0, 255]
    assert rgb(np.full((2, 2), np.inf)).sum() == 0
    assert rgb(np.zeros((0, 3))).shape == (0, 3, 3)


def test_pictures_are_read_as_they_were_written(tmp_path):
    pytest.importorskip("PIL")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    save_picture(tmp_path / "rgb.png", pixels)
    save_picture(tmp_path / "grey.png", pixels[::-1, :, 0])
    assert np.array_equal(read_picture(tmp_path / "rgb.png"), pixels)
    assert np.array_equal(read_picture(tmp_path / "grey.png"), pixels[::-1, :, 0])
    assert read_picture(tmp_path / "grey.png", 3).shape == (5, 6, 3)
    assert scaled(pixels).max() <= 1
    assert scaled(np.array([65535], np.uint16)).tolist() == [1.0]


def test_without_pillow_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(BackendUnavailableError, match=r"^pillow: expected the package for writing a.jpg.*pip install"):
        save_picture(tmp_path / "a.jpg", np.zeros((2, 2), np.uint8))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: overlay(np.zeros((7, 7)), SQUARE[:6]), ShapeError, r"expected a mask of \(7, 7\) pixels, got \(6, 7\)"),
        (lambda: overlay(np.zeros((7, 7)), np.zeros((3, 7, 7))), ShapeError, r"expected a mask \(H, W\)"),
        (lambda: overlay(np.zeros((2, 7, 7)), SQUARE), ShapeError, "of 1, 3 or 4 channels"),
        (lambda: overlay(np.zeros((7, 7)), SQUARE, fill=2), ArgumentError, "expected fill from 0 to 1, got 2"),
        (lambda: overlay(np.zeros((7, 7)), SQUARE, thickness=-1), ArgumentError, "expected thickness as an integer of at least 0, got -1"),
        (lambda: overlay(np.zeros((7, 7)), SQUARE, color="red"), ArgumentError, "as .red, green, blue. from 0 to 255, got 'red'"),
        (lambda: overlay(np.zeros((7, 7)), SQUARE, color=(1, 2)), ArgumentError, r"got \(1, 2\)"),
        (lambda: overlay("image.png", SQUARE), DTypeError, "expected an array of numbers"),
        (lambda: save_picture("a.png", np.zeros((2, 2))), DTypeError, "expected uint8 pixels, got float64"),
        (lambda: save_picture("a.png", np.zeros((3, 2, 2), np.uint8)), ShapeError, "transpose channels to the end"),
        (lambda: read_picture("nowhere.npy"), FileError, "expected a picture, got 'nowhere.npy'"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_large_numbers_of_objects_are_drawn_as_small_ones_would_be():
    far = SQUARE.astype(np.int64) * 10**12
    assert overlay(np.zeros((7, 7)), far).shape == (7, 7, 3)  # a table of all numbers would not fit into memory
    assert overlay(np.zeros((0, 3)), np.zeros((0, 3), int)).shape == (0, 3, 3)
