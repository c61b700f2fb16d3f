"""Pictures of what transforms do to an image and its instance labels: the image as it is, then three items of each."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
from photographs import above, beside, nuclei

import neurenix as nx
from neurenix import data
from neurenix.data import draws
from neurenix.picture import overlay, read_picture, save_picture

PART = np.s_[150:310, 140:300]
MOVED = {
    "flips": data.Compose([data.RandomHorizontalFlip(), data.RandomVerticalFlip()]),
    "rotate90": data.RandomRotate90(),
    "rotation": data.RandomRotation(45),
    "affine": data.RandomAffine(15, translate=(0.1, 0.1), scale=(0.7, 1.4), shear=10),
    "elastic": data.ElasticTransform(alpha=(80, 200), sigma=8),
    "random_crop": data.RandomCrop(96),
    "center_crop": data.CenterCrop(96),
    "foreground_crop": data.ForegroundCrop(64, foreground=1.0, per_label=True),
    "together": data.Compose(
        [data.ElasticTransform(120, 8), data.RandomRotation(180), data.RandomHorizontalFlip(), data.ForegroundCrop(96)]
    ),
}
SHADED = {
    "brightness": data.RandomBrightness(0.6),
    "contrast": data.RandomContrast(0.8),
    "gamma": data.RandomGamma(2.5),
    "gaussian_noise": data.GaussianNoise(sigma=(0.02, 0.2)),
    "poisson_noise": data.PoissonNoise(peak=(10, 60)),
    "gaussian_blur": data.GaussianBlur(sigma=(0.5, 3)),
    "percentiles": data.Compose([data.RandomBrightness((0.3, 0.9)), data.PercentileNormalize(1, 99, clip=True)]),
}
FILLED = {
    "symmetric": {},
    "replicate": {"fill_mode": "replicate"},
    "constant": {"fill_mode": "constant", "fill": 0.5},
    "ignore_index": {"ignore_index": 255},
}


def labels() -> np.ndarray:
    """The nuclei as objects, each with a number."""
    folder = Path(str(files("neurenix.examples") / "data" / "nuclei"))
    return read_picture(folder / "labels.png").astype(np.int64)


def shown(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """An image from 0 to 1 as RGB, with its labels where there are any."""
    pixels = np.repeat(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)[..., None], 3, 2)
    return pixels if mask is None else overlay(pixels, mask, fill=0.35)


def items(transform: data.PairedTransform, image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The item as it is, and what three epochs make of it."""
    pictures = [shown(image, mask)]
    for epoch in range(3):
        with draws.item(12, epoch, 0):
            out = transform(image) if mask is None else transform(image, mask)
        pictures.append(shown(*(out if mask is not None else (out, None))))
    return beside(*pictures)


def fillings(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """One rotation, filled in each way; ignored pixels are tinted."""
    turned = [data.RandomRotation((30, 30), **settings)(image, mask) for settings in FILLED.values()]
    return beside(*(shown(*pair) for pair in turned))


def padded(image: np.ndarray) -> np.ndarray:
    """Three crops of different sizes in one batch, and which pixels are their own."""
    batch, valid = data.pad_collate([image[None, :96, :150], image[None, :160, :80], image[None, :60, :60]], fill=1.0)
    return above(beside(*(shown(x[0], None) for x in batch)), beside(*(shown(0.2 + 0.6 * v, None) for v in valid)))


def make_all(folder: Path) -> None:
    """Write every picture as PNG."""
    nx.manual_seed(0)
    image, mask = nuclei()[0][PART], labels()[PART]
    pictures = {name: items(transform, image, mask) for name, transform in MOVED.items()}
    pictures |= {name: items(transform, image, None) for name, transform in SHADED.items()}
    pictures |= {"fillings": fillings(image, mask), "pad_collate": padded(image)}
    for name, pixels in pictures.items():
        save_picture(folder / f"augment_{name}.png", pixels)
