"""Pictures of scales: Laplacian pyramid, wavelets, scale space, a blend without a seam, and which scale decides where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from photographs import SPLIT, above, beside, enlarged, grey, nuclei

import neurenix as nx
from neurenix import multiscale as ms, nn
from neurenix.examples import blend as example
from neurenix.nn import BCEWithLogitsLoss
from neurenix.nn.functional import gaussian_blur
from neurenix.optim import AdamW
from neurenix.picture import overlay, save_picture

PART = np.s_[:192, :192]
SCALES = [1.0, 0.5, 0.25]
STEPS = 100


def signed(x: np.ndarray, reach: float | None = None) -> np.ndarray:
    """Values about zero as grey values about 128, stretched to ``reach``, or to the largest but few."""
    reach = max(float(np.quantile(np.abs(x), 0.995)), 1e-9) if reach is None else reach
    return np.clip(np.rint(128 + 127 * x / reach), 0, 255).astype(np.uint8)


def laplacian_pyramid(image: np.ndarray, _: np.ndarray) -> np.ndarray:
    """The levels at one height: what each adds, and the coarsest image."""
    *differences, coarsest = ms.LaplacianPyramid(5)(image[PART][None])
    return beside(*(enlarged(signed(d[0]), 192) for d in differences), enlarged(grey(coarsest[0]), 192))


def wavelets(image: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Three levels of CDF 5/3, each scale's bands around the coarser ones, each scale stretched alike; noise was blurred away first."""
    part = gaussian_blur(image[:320, :320][None], 1.5).numpy()
    *levels, low = ms.CDF53Wavelet(3)(part)
    shown = grey(low[0])
    for level in reversed(levels):
        reach = float(np.quantile(np.abs(level.vertical), 0.995))
        horizontal, vertical, diagonal = (signed(band[0], reach) for band in level)
        shown = np.block([[shown, vertical], [horizontal, diagonal]])
    return beside(grey(part[0]), shown)


def scale_space(image: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Rising blur above, differences of neighbours below, of the first two octaves."""
    chosen = [(i, j) for i in (0, 1) for j in (0, 1)]
    blurred = ms.ScaleSpace(2, 2, sigma=2.0)(image[PART][None])
    differences = ms.DifferenceOfGaussians(2, 2, sigma=2.0)(image[PART][None])
    return above(
        beside(*(enlarged(grey(blurred[i][j][0]), 192) for i, j in chosen)),
        beside(*(enlarged(signed(differences[i][j][0]), 192) for i, j in chosen)),
    )


def blend(_: np.ndarray, __: np.ndarray) -> np.ndarray:
    """Two images joined: cut, cross-faded, and by the spline, as the example does it."""
    return beside(*(example.shown(p[:, 100:356]) for p in example.ways(*example.halves()).values()))


def trained(image: np.ndarray, mask: np.ndarray) -> tuple[ms.MultiScaleModel, nn.Conv2d]:
    """A small model at three scales with attention, and the layer that makes a mask of it, after some seconds of training."""
    nx.manual_seed(0)
    rng = np.random.default_rng(0)
    base = nn.Sequential(*(nn.ConvNormAct(c, 12, norm="group") for c in (1, 12, 12)))
    model, head = ms.MultiScaleModel(SCALES, base, "attention"), nn.Conv2d(12, 1, kernel_size=1)
    optimizer, criterion = AdamW([*model.parameters(), *head.parameters()], lr=1e-2), BCEWithLogitsLoss()
    for _ in range(STEPS):
        corners = [(rng.integers(image.shape[0] - 96), rng.integers(SPLIT - 96)) for _ in range(4)]
        x, y = (np.stack([a[r : r + 96, c : c + 96] for r, c in corners])[:, None] for a in (image, mask))
        loss = criterion(head(model(x)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, head


def scale_attention(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A held-out part, what is found in it, each scale's share, and the three shares as red, green and blue."""
    model, head = trained(image, mask)
    part = image[:224, SPLIT:]
    with nx.no_grad():
        fused, weights = model(part[None, None], return_weights=True)
        found = head(fused).numpy()[0, 0] > 0
    shares = np.rint(255 * weights.numpy()[0]).astype(np.uint8)
    return beside(grey(part), overlay(part, found, color=(255, 90, 90)), *shares, shares.transpose(1, 2, 0))


def make_all(folder: Path) -> None:
    """Write every picture as PNG."""
    image, mask = nuclei()
    for draw in (laplacian_pyramid, wavelets, scale_space, blend, scale_attention):
        save_picture(folder / f"{draw.__name__}.png", draw(image, mask))
