"""What a random forest on scikit-image's multi-scale features reaches on the image of the demo: `python benches/forest.py`.

The recipe of scikit-image's gallery ("trainable segmentation using local features and random forests"), trained and tested on the
columns that `python -m neurenix.examples.nuclei` uses; then nuclei that touch are separated by a watershed from the distance
transform's maxima. Needs scikit-image and scikit-learn.
"""

from __future__ import annotations

import time

import numpy as np
from scipy import ndimage
from skimage.feature import multiscale_basic_features, peak_local_max
from skimage.segmentation import watershed
from sklearn.ensemble import RandomForestClassifier

from neurenix.examples.shared import HELD_OUT, TRAIN, load_nuclei
from neurenix.labelling import connected_components
from neurenix.metrics import iou, otsu_threshold, panoptic_quality


def features(image: np.ndarray) -> np.ndarray:
    """Intensity, edges and texture of each pixel at scales of 1 to 16 pixels, (H * W, F)."""
    stack = multiscale_basic_features(image, intensity=True, edges=True, texture=True, sigma_min=1, sigma_max=16)
    return stack.reshape(-1, stack.shape[-1])


def separate(mask: np.ndarray) -> np.ndarray:
    """Objects of a mask: a watershed of the smoothed distance to the background."""
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1)
    peaks = peak_local_max(distance, min_distance=7, labels=mask.astype(int), exclude_border=False)
    markers = np.zeros(mask.shape, int)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, markers, mask=mask)


def main() -> None:
    """Train, test, print."""
    image, labels = load_nuclei()
    truth = labels[HELD_OUT]
    otsu = image[HELD_OUT] > otsu_threshold(image[TRAIN])
    print(f"Otsu: IoU {iou(otsu, truth):.3f}, panoptic quality {panoptic_quality(connected_components(otsu, min_size=10), truth):.2f}")
    for seed in range(3):
        begun = time.perf_counter()
        forest = RandomForestClassifier(n_estimators=50, max_depth=10, max_samples=0.05, n_jobs=-1, random_state=seed)
        forest.fit(features(image[TRAIN]), labels[TRAIN].ravel() > 0)
        found = forest.predict(features(image[HELD_OUT])).reshape(truth.shape)
        seconds = time.perf_counter() - begun
        quality = panoptic_quality(separate(found), truth)
        print(f"forest, seed {seed}: IoU {iou(found, truth):.3f}, with a watershed panoptic quality {quality:.2f}, {seconds:.1f} s")


if __name__ == "__main__":
    main()
