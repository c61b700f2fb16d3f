"""Join two pictures without a seam: Burt and Adelson's spline over the levels of a Laplacian pyramid.

Run ``python -m neurenix.examples.blend --help``. The two halves of the bundled microscopy image, one of them darker, are
joined in the middle in three ways: cut, cross-faded, and with each scale faded over a width of its own size. Writes the
pictures side by side (``blend.png``) and the numbers (``result.json``): how large the step at the seam is, and how much of the
fine detail around it is left.

P. Burt, E. Adelson, "A multiresolution spline with application to image mosaics", ACM Trans. Graphics 2, 1983.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurenix.examples import shared
from neurenix.multiscale import GaussianPyramid, LaplacianPyramid
from neurenix.picture import Pixels

DESCRIPTION = "Join the two halves of a microscopy image, one of them darker, without a seam."
LEVELS = 7
FADE = 64  # columns of the cross-fade, about the size of a nucleus
AROUND = 16  # columns on either side of the seam in which detail is measured


def spline(first: Pixels, second: Pixels, mask: Pixels, num_levels: int = LEVELS) -> Pixels:
    """Join two images (C, H, W): ``first`` where ``mask`` is 1, ``second`` where it is 0, each scale faded over its own size."""
    pyramid = LaplacianPyramid(num_levels)
    shares = GaussianPyramid(num_levels)(mask)
    levels = [s * a + (1 - s) * b for s, a, b in zip(shares, pyramid(first), pyramid(second), strict=True)]
    joined: Pixels = pyramid.inverse(levels)
    return joined


def halves() -> tuple[Pixels, Pixels]:
    """Two images (1, 512, 256) of grey values from 0 to 255; the second darker, with less contrast."""
    image = shared.visible(shared.load_nuclei()[0])[None]
    image *= np.float32(255 / image.max())
    return image[:, :, :256] * np.float32(0.8) + np.float32(50), image[:, :, 256:] * np.float32(0.7)


def ways(first: Pixels, second: Pixels, num_levels: int = LEVELS) -> dict[str, Pixels]:
    """The two joined in the middle: cut, cross-faded, and by the spline."""
    width = first.shape[-1]
    cut = np.zeros_like(first)
    cut[..., : width // 2] = 1
    ramp = np.clip((width / 2 + FADE / 2 - 0.5 - np.arange(width)) / FADE, 0, 1).astype(first.dtype)
    return {
        "cut": cut * first + (1 - cut) * second,
        "cross-faded": ramp * first + (1 - ramp) * second,
        "spline": spline(first, second, cut, num_levels),
    }


def step(joined: Pixels) -> float:
    """How many grey values the middle's two columns differ by, on average down the picture."""
    middle = joined.shape[-1] // 2
    return float(abs((joined[..., middle - 1] - joined[..., middle]).mean()))


def detail(joined: Pixels) -> float:
    """Root mean square of the finest level of the pyramid about the middle, without the seam's own two columns."""
    middle = joined.shape[-1] // 2
    finest = LaplacianPyramid(2)(joined)[0]
    sides = finest[..., middle - AROUND : middle - 2], finest[..., middle + 2 : middle + AROUND]
    return float(np.sqrt(np.mean(np.square(np.concatenate(sides, axis=-1)))))


def shown(image: Pixels) -> Pixels:
    """(1, H, W) grey values as RGB pixels, not stretched."""
    return np.repeat(np.clip(np.rint(image[0]), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Join, measure, write everything down."""
    parser = argparse.ArgumentParser(description=DESCRIPTION, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/blend"), help="folder for the picture and the numbers")
    parser.add_argument("--levels", type=int, default=LEVELS, help="levels of the pyramids; the coarsest is faded over the widest strip")
    given = parser.parse_args(argv)
    if not 1 <= given.levels <= 32:
        parser.error(f"--levels: expected 1 to 32, got {given.levels}")
    given.out.mkdir(parents=True, exist_ok=True)

    first, second = halves()
    joined = ways(first, second, given.levels)
    shared.save_panels(given.out / "blend.png", {n: shown(p) for n, p in {"first": first, "second": second, **joined}.items()}, zoom=1)
    kept = detail(joined["cut"])
    result = {n: {"step": round(step(p), 2), "detail": round(detail(p) / kept, 3)} for n, p in joined.items()}
    shared.save_result(given.out / "result.json", result)
    for name, found in result.items():
        print(f"{name + ':':13} step at the seam {found['step']:5.1f} grey values, {100 * found['detail']:3.0f}% of the detail around it")
    print(f"written to {given.out}: blend.png, result.json")
    return result


if __name__ == "__main__":
    main()
