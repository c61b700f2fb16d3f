"""Count cell nuclei, also those that touch: a U-Net with a class of its own for the border between neighbours.

Run ``python -m neurenix.examples.nuclei_instances --help``. The network tells background, nucleus and border apart; the rare
border weighs more in the loss. The connected pieces of what surely is nucleus are counted, then grow over what is not
background. Tested on the columns of the image that training never saw, by panoptic quality and by count. Writes ``model.nx``,
``instances.png``, ``loss.png`` and ``result.json``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

import neurenix as nx
from neurenix.examples import shared
from neurenix.labelling import border_classes, connected_components, objects_of_classes
from neurenix.metrics import iou, otsu_threshold, panoptic_quality
from neurenix.multiscale import UNet
from neurenix.nn import CrossEntropyLoss
from neurenix.picture import Pixels, overlay

DESCRIPTION = "Train a U-Net on columns 0-341 of a microscopy image and count the nuclei in columns 342-511."
FEATURES = (16, 32, 64, 128)
STEPS = 300
BORDER = 2
WEIGHTS = (1.0, 1.0, 4.0)  # a border is one pixel in a hundred
CORE = 0.7  # probability of nucleus in its core; chosen on columns 256-341 with a network trained on columns 0-255
SMALLEST = 10  # pixels of a nucleus at least
FOREST = 0.84  # what benches/forest.py measures, with a watershed


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, test, write everything down."""
    given = shared.arguments(DESCRIPTION, "runs/nuclei_instances", STEPS, argv)
    begun = time.perf_counter()
    image, labels = shared.load_nuclei()

    nx.manual_seed(given.seed)
    model = UNet(in_channels=1, out_channels=3, features=list(FEATURES), final_activation=None)
    criterion = CrossEntropyLoss(weight=nx.tensor(WEIGHTS))
    target = border_classes(labels[shared.TRAIN])
    losses = shared.train(model, image[shared.TRAIN], target, criterion, steps=given.steps, seed=given.seed)
    seen, truth = image[shared.HELD_OUT], labels[shared.HELD_OUT]
    logits = nx.predict(model, seen, tta=True)
    probability = nx.nn.functional.softmax(logits, 0).numpy()
    found = objects_of_classes(probability, core=CORE, min_size=SMALLEST)
    seconds = time.perf_counter() - begun

    shared.save_and_reload(model, given.out / "model.nx", seen, logits)
    shared.save_curve(given.out / "loss.png", losses)
    shared.save_panels(
        given.out / "instances.png",
        {
            "image": shared.visible(seen),
            "truth": overlay(shared.visible(seen), truth),
            "prediction": overlay(shared.visible(seen), found),
            "border": (255 * probability[BORDER]).astype(np.uint8),
        },
    )
    result = compare(found, truth, seen > otsu_threshold(image[shared.TRAIN]))
    result |= {"seed": given.seed, "steps": given.steps, "seconds": round(seconds, 1)}
    shared.save_result(given.out / "result.json", result)
    report(result, given.out)
    return result


def compare(found: Pixels, truth: Pixels, bright: Pixels) -> dict[str, Any]:
    """How well the nuclei were told apart, and how well the pieces of a threshold's mask would do."""
    otsu = connected_components(bright, min_size=SMALLEST)
    return {
        "panoptic_quality": panoptic_quality(found, truth),
        "otsu": panoptic_quality(otsu, truth),
        "iou": iou(found, truth),
        "count": int(found.max()),
        "true_count": len(np.unique(truth)) - 1,
        "otsu_count": int(otsu.max()),
    }


def report(result: dict[str, Any], out: Any) -> None:
    """Print the numbers and where things are."""
    print(f"held-out panoptic quality: {result['panoptic_quality']:.3f}")
    print(f"  Otsu's threshold, connected components:      {result['otsu']:.2f}")
    print(f"  random forest with a watershed (quoted):     {FOREST:.2f}   (benches/forest.py reproduces it)")
    print(f"nuclei: {result['count']} found, {result['true_count']} there ({result['otsu_count']} by Otsu)")
    print(f"{result['steps']} steps, {result['seconds']:.0f} s; the model loaded back predicts the same bits")
    print(f"written to {out}: model.nx, instances.png, loss.png, result.json")


if __name__ == "__main__":
    main()
