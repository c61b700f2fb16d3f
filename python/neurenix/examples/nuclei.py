"""Find cell nuclei: a U-Net trained from nothing on two thirds of one image, tested on the third it never saw.

Run ``python -m neurenix.examples.nuclei --help``. It prints how well the network's mask agrees with the experts' on columns 342
to 511 (intersection over union), beside what simpler methods reach, and writes to a folder: the model (``model.nx``), the
held-out columns with truth, prediction and errors (``nuclei.png``), the loss (``loss.png``) and the numbers (``result.json``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

import neurenix as nx
from neurenix.examples import shared
from neurenix.metrics import best_threshold, dice, iou, otsu_threshold
from neurenix.multiscale import UNet
from neurenix.nn import BCELoss, DiceLoss

DESCRIPTION = "Train a U-Net on columns 0-341 of a microscopy image and find the nuclei in columns 342-511."
FEATURES = (16, 32, 64, 128)
STEPS = 300
FOREST = 0.904  # what benches/forest.py measures


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, test, write everything down."""
    given = shared.arguments(DESCRIPTION, "runs/nuclei", STEPS, argv)
    begun = time.perf_counter()
    image, labels = shared.load_nuclei()
    nuclei = labels > 0

    nx.manual_seed(given.seed)
    model = UNet(in_channels=1, out_channels=1, features=list(FEATURES))
    bce, overlap = BCELoss(), DiceLoss()
    losses = shared.train(
        model,
        image[shared.TRAIN],
        nuclei[shared.TRAIN][None].astype(np.float32),
        lambda output, target: bce(output, target) + overlap(output, target),
        steps=given.steps,
        seed=given.seed,
    )
    seen, truth = image[shared.HELD_OUT], nuclei[shared.HELD_OUT]
    probability = nx.predict(model, seen, tta=True)
    found = probability > 0.5
    seconds = time.perf_counter() - begun

    shared.save_and_reload(model, given.out / "model.nx", seen, probability)
    shared.save_curve(given.out / "loss.png", losses)
    shared.save_panels(
        given.out / "nuclei.png",
        {
            "image": shared.visible(seen),
            "truth": 255 * truth.astype(np.uint8),
            "prediction": (255 * probability).astype(np.uint8),
            "green right, red too much, blue missed": shared.agreement(seen, found, truth),
        },
    )
    result = {"iou": iou(found, truth), "dice": dice(found, truth), **simple_methods(image, nuclei)}
    result |= {"seed": given.seed, "steps": given.steps, "seconds": round(seconds, 1), "parameters": model.num_parameters()}
    shared.save_result(given.out / "result.json", result)
    report(result, given.out)
    return result


def simple_methods(image: np.ndarray[Any, Any], nuclei: np.ndarray[Any, Any]) -> dict[str, float]:
    """What thresholds reach on the held-out columns."""
    seen, truth = image[shared.HELD_OUT], nuclei[shared.HELD_OUT]
    return {"otsu": iou(seen > otsu_threshold(image[shared.TRAIN]), truth), "best_threshold": best_threshold(seen, truth)[1]}


def report(result: dict[str, Any], out: Any) -> None:
    """Print the numbers and where things are."""
    print(f"held-out IoU: {result['iou']:.3f}")
    print(f"  Otsu's threshold, from the training columns:       {result['otsu']:.3f}")
    print(f"  best single threshold, chosen with the truth:      {result['best_threshold']:.3f}")
    print(f"  random forest on multi-scale features (quoted):    {FOREST:.3f}   (benches/forest.py reproduces it)")
    print(
        f"{result['steps']} steps, {result['parameters']:,} parameters, {result['seconds']:.0f} s; the model loaded back predicts the same bits"
    )
    print(f"written to {out}: model.nx, nuclei.png, loss.png, result.json")


if __name__ == "__main__":
    main()
