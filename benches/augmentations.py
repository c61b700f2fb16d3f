"""Time of paired augmentations of a 512 x 512 image and its labels: `python benches/augmentations.py`."""

from __future__ import annotations

import statistics
import time

from _harness import fair_environment, machine, report

fair_environment()

import numpy as np  # noqa: E402  # after the environment is set

from neurenix import data  # noqa: E402
from neurenix.data import draws  # noqa: E402

ELASTIC, ROTATION, FLIP = data.ElasticTransform(200, 10), data.RandomRotation(180), data.RandomHorizontalFlip()
STEPS = {
    "elastic, rotation, flip": data.Compose([ELASTIC, ROTATION, FLIP]),
    "elastic, rotation, flip, foreground crop of 256": data.Compose([ELASTIC, ROTATION, FLIP, data.ForegroundCrop(256)]),
    "the same, bicubic": data.Compose(
        [data.ElasticTransform(200, 10, "bicubic"), data.RandomRotation(180, "bicubic"), FLIP, data.ForegroundCrop(256)]
    ),
    "elastic": ELASTIC,
    "rotation": ROTATION,
    "flip": FLIP,
    "brightness": data.RandomBrightness(),
    "contrast": data.RandomContrast(),
    "gamma": data.RandomGamma(),
    "Gaussian noise": data.GaussianNoise(),
    "Poisson noise": data.PoissonNoise(),
    "Gaussian blur": data.GaussianBlur(sigma=2.0),
    "percentiles": data.PercentileNormalize(),
}


def milliseconds(transform: data.PairedTransform, image: np.ndarray, mask: np.ndarray) -> float:
    """Median time of one item."""
    times = []
    for item in range(31):
        with draws.item(0, 0, item):
            begin = time.perf_counter()
            transform(image, mask)
            times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def main() -> None:
    """Time each on floats and on bytes."""
    image = np.random.default_rng(0).random((1, 512, 512), dtype=np.float32)
    mask = (image[0] > 0.5).astype(np.int64)
    bytes_ = (image * 255).astype(np.uint8)
    rows = [
        {"transform": name, "float32 ms": milliseconds(t, image, mask), "uint8 ms": milliseconds(t, bytes_, mask)}
        for name, t in STEPS.items()
    ]
    report("augmentations", rows, machine())


if __name__ == "__main__":
    main()
