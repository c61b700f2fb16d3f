"""Pictures of the nuclei image as the library sees it: pyramid, resampling, bins, levels of a U-Net, attention, overlay."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np

import neurenix as nx
from neurenix import multiscale as ms
from neurenix.nn import BCEWithLogitsLoss, functional as F
from neurenix.optim import AdamW
from neurenix.picture import read_picture, save_picture

SPLIT = 342  # the demo trains on the columns before
GAP = 6


def nuclei() -> tuple[np.ndarray, np.ndarray]:
    """The bundled image, float32 from 0 to 1, and its mask."""
    folder = Path(str(files("neurenix.examples") / "data" / "nuclei"))
    image = read_picture(folder / "image.png", channels=1).astype(np.float32)
    image = np.sqrt((image - image.min()) / (image.max() - image.min()))  # dim nuclei show beside bright ones
    return image, (read_picture(folder / "labels.png") > 0).astype(np.float32)


def grey(x: np.ndarray) -> np.ndarray:
    """A map as uint8, stretched to its range."""
    low, high = float(x.min()), float(x.max())
    return np.rint(255 * (x - low) / max(high - low, 1e-9)).astype(np.uint8)


def colour(x: np.ndarray) -> np.ndarray:
    """uint8 grey or RGB as RGB."""
    return np.repeat(x[:, :, None], 3, 2) if x.ndim == 2 else x


def enlarged(x: np.ndarray, height: int) -> np.ndarray:
    """Whole pixels as squares, so that each is seen; at most ``height`` high."""
    times = max(1, height // x.shape[0])
    return np.repeat(np.repeat(x, times, 0), times, 1)


def beside(*pictures: np.ndarray) -> np.ndarray:
    """Pictures in a row on white."""
    height = max(p.shape[0] for p in pictures)
    width = sum(p.shape[1] for p in pictures) + GAP * (len(pictures) - 1)
    canvas, x = np.full((height, width, 3), 255, np.uint8), 0
    for p in pictures:
        canvas[: p.shape[0], x : x + p.shape[1]] = colour(p)
        x += p.shape[1] + GAP
    return canvas


def above(*pictures: np.ndarray) -> np.ndarray:
    """Pictures in a column on white."""
    turned = [colour(p).transpose(1, 0, 2) for p in pictures]
    return beside(*turned).transpose(1, 0, 2)


def pyramid(image: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Levels 0, 2, 3, 4 and 5 of a pyramid at one height."""
    part = image[:224, :224]
    levels = ms.PyramidDownsample(num_levels=6)(part[None, None])
    return beside(*(enlarged(grey(np.asarray(levels[i])[0, 0]), 224) for i in (0, 2, 3, 4, 5)))


def resampling(image: np.ndarray, _: np.ndarray) -> np.ndarray:
    """One nucleus, enlarged in three ways."""
    part = image[26:54, 46:74]
    return beside(*(grey(np.asarray(ms.Rescale(8.0, mode)(part[None, None]))[0, 0]) for mode in ("nearest", "bilinear", "bicubic")))


def pooling_bins(image: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Means over bins."""
    part = image[:222, :222]
    bins = [F.adaptive_avg_pool2d(part[None, None], n).numpy()[0, 0] for n in (1, 2, 3, 6)]
    return beside(grey(part), *(np.rint(255 * enlarged(b, 222)).astype(np.uint8) for b in bins))


def attention(image: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Each source's share, as the module's own weights give it."""
    nx.manual_seed(3)
    part = image[:160, :160]
    with nx.no_grad():
        _, weights = ms.AttentionFusion([1, 1, 1], 4)(ms.PyramidDownsample(num_levels=3)(part[None, None]), return_weights=True)
    return beside(grey(part), *np.rint(255 * weights.numpy()[0]).astype(np.uint8))


def trained(image: np.ndarray, mask: np.ndarray) -> ms.UNet:
    """A small U-Net after some seconds on the training columns."""
    nx.manual_seed(0)
    rng = np.random.default_rng(0)
    model = ms.UNet(in_channels=1, out_channels=1, features=[8, 16, 32], norm="group", final_activation=None)
    optimizer, criterion = AdamW(model.parameters(), lr=4e-3), BCEWithLogitsLoss()
    for _ in range(80):
        corners = [(rng.integers(image.shape[0] - 96), rng.integers(SPLIT - 96)) for _ in range(4)]
        x, y = (np.stack([a[r : r + 96, c : c + 96] for r, c in corners])[:, None] for a in (image, mask))
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def strongest(features: nx.Tensor, height: int) -> np.ndarray:
    """The channel of largest spread."""
    maps = features.numpy()[0]
    return enlarged(grey(maps[maps.reshape(len(maps), -1).std(1).argmax()]), height)


def unet_pictures(image: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
    """Levels on the way down and up, and what is found in the held-out columns."""
    model = trained(image, mask)
    part, truth = image[:, SPLIT:], mask[:, SPLIT:]
    with nx.no_grad():
        found = model(part[None, None]).numpy()[0, 0] > 0
        model(image[None, None, :160, :160])
        down, up = model.get_encoder_features(), model.get_decoder_features()
    levels = above(beside(*(strongest(f, 160) for f in down)), beside(*(strongest(f, 160) for f in up)))
    drawn = beside(grey(part), nx.overlay(part, truth, color=(80, 200, 120)), nx.overlay(part, found, color=(255, 90, 90)))
    return {"unet_levels": levels, "overlay": drawn}


def make_all(folder: Path) -> None:
    """Write every picture as PNG."""
    image, mask = nuclei()
    pictures = {f.__name__: f(image, mask) for f in (pyramid, resampling, pooling_bins, attention)}
    for name, pixels in {**pictures, **unet_pictures(image, mask)}.items():
        save_picture(folder / f"{name}.png", pixels)
