"""Scale space and differences of Gaussians: sigmas, SciPy's numbers, blobs found by size, kinds, gradients, errors."""

import numpy as np
import pytest
from scipy import ndimage

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.multiscale import DifferenceOfGaussians, ScaleSpace
from neurenix.testing import assert_same_bits, check_adjoint, random_array


def test_first_octave_is_scipys_filter():
    x = np.random.default_rng(0).random((2, 40, 33))
    space = ScaleSpace(2, 3, assumed_blur=0.0)
    octaves, sigmas = space(x), space.sigmas()
    for found, sigma in zip(octaves[0], sigmas[0], strict=True):
        want = ndimage.gaussian_filter(x, (0, sigma, sigma), mode="mirror")
        np.testing.assert_allclose(found, want, atol=5e-5)  # cut at four standard deviations, step by step
    np.testing.assert_allclose(octaves[1][0], octaves[0][3][:, ::2, ::2], atol=0)
    assert sigmas[0] == pytest.approx([1.6 * 2 ** (j / 3) for j in range(6)])
    assert sigmas[1] == pytest.approx([3.2 * 2 ** (j / 3) for j in range(6)])


def test_spacing_and_blur_of_the_image():
    x = random_array(1, 24, 30)
    space = ScaleSpace(1, 1, sigma=2.0, assumed_blur=1.2, spacing=(0.5, 2.0), extra=1, mode="symmetric")
    want = ndimage.gaussian_filter(x, (0, 1.6 / 0.5, 1.6 / 2.0))
    np.testing.assert_allclose(space(x)[0][0], want, atol=1e-12)
    assert_same_bits(ScaleSpace(1, 1, sigma=1.0, assumed_blur=1.0)(x)[0][0], x)


def test_differences():
    x = random_array(1, 2, 20, 17)
    space, differences = ScaleSpace(2, 2)(x), DifferenceOfGaussians(2, 2)(x)
    for octave, found in zip(space, differences, strict=True):
        assert len(found) == len(octave) - 1
        for i, d in enumerate(found):
            assert_same_bits(d, octave[i + 1] - octave[i])


@pytest.mark.parametrize("radius", [4, 8, 12])
def test_a_blob_is_found_at_its_size(radius):
    row, col = np.mgrid[:96, :96]
    disc = ((row - 48) ** 2 + (col - 48) ** 2 <= radius**2).astype(np.float64)[None]
    transform = DifferenceOfGaussians(4, 4, assumed_blur=0.0)
    answers = [
        (y[0, 48 >> i, 48 >> i], s)
        for i, (octave, sigmas) in enumerate(zip(transform(disc), transform.sigmas(), strict=True))
        for y, s in zip(octave, sigmas, strict=False)
    ]
    assert min(answers)[1] * 2**0.5 == pytest.approx(radius, rel=0.2)


def test_kinds_and_small_images():
    array = random_array(2, 3, 5, 6, dtype=np.float32)
    assert all(type(y) is np.ndarray for octave in ScaleSpace()(array) for y in octave)
    assert all(isinstance(y, nx.Tensor) for octave in DifferenceOfGaussians()(nx.Tensor(array)) for y in octave)
    assert_same_bits(ScaleSpace()(array[0])[1][0], ScaleSpace()(array)[1][0][0])
    shapes = [y.shape for octave in ScaleSpace(5, 1, extra=1)(array) for y in octave]
    assert shapes[::2] == [(2, 3, 5, 6), (2, 3, 3, 3), (2, 3, 2, 2), (2, 3, 1, 1), (2, 3, 1, 1)]


def test_gradients():
    x = random_array(1, 7, 6)
    for i, j in ((0, 0), (0, 2), (1, 1)):
        check_adjoint(lambda t, i=i, j=j: DifferenceOfGaussians(2, 1)(t)[i][j], x)
        check_adjoint(lambda t, i=i, j=j: ScaleSpace(2, 1)(t)[i][j], x)


def test_errors():
    for kind in (ScaleSpace, DifferenceOfGaussians):
        name = kind.__name__
        with pytest.raises(
            ShapeError, match=rf"{name}: expected x \(N, C, H, W\) or \(C, H, W\) of at least one pixel, got shape \(4, 4\)"
        ):
            kind()(np.zeros((4, 4)))
        with pytest.raises(DTypeError, match=f"{name}: expected float32 or float64, got uint8; convert it with .float"):
            kind()(np.zeros((1, 4, 4), np.uint8))
        with pytest.raises(ArgumentError, match=f"{name}: expected num_octaves of at least 1, got 0"):
            kind(0)
        with pytest.raises(ArgumentError, match=f"{name}: expected num_octaves of at most 32, got 40; ask for fewer"):
            kind(40)
        with pytest.raises(ArgumentError, match=f"{name}: expected levels_per_octave as an integer, got 1.5"):
            kind(1, 1.5)
        with pytest.raises(ArgumentError, match=f"{name}: expected sigma as a finite number above 0, got -1"):
            kind(sigma=-1)
        with pytest.raises(ArgumentError, match=f"{name}: expected assumed_blur of at most sigma, 1.6, got 2.0; pass a smaller one"):
            kind(assumed_blur=2.0)
        with pytest.raises(ArgumentError, match=rf"{name}: expected spacing as one number or 2, got \(1, 2, 3\); pass \(rows, columns\)"):
            kind(spacing=(1, 2, 3))
        with pytest.raises(ArgumentError, match=f"{name}: expected mode one of"):
            kind(mode="mirror")
        with pytest.raises(ArgumentError, match=f"{name}: expected extra of at least 1, got 0"):
            kind(extra=0)
