"""What masks mean: which outputs a model has, what it is trained towards, how outputs are judged and written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np

import neurenix as nx
from neurenix.command.together import tell
from neurenix.errors import FileError
from neurenix.images.opening import read_image
from neurenix.labelling import border_classes, connected_components, objects_of_classes
from neurenix.metrics import iou, panoptic_quality
from neurenix.nn import BCELoss, CrossEntropyLoss, DiceLoss
from neurenix.parallel import ranks

Array = np.ndarray[Any, Any]
Kind = Literal["binary", "classes", "instances"]
_FEW: Final = 20  # numbers of classes stay below it unless the files say otherwise
_SEVERAL: Final = 3
_TRUTHS: Final = frozenset({0, 1, 255})  # of masks of which some hold 0 and 1, others 0 and 255
_TORN: Final = 3  # regions of an object's number at most, where most objects are one
_BORDER: Final = (1.0, 1.0, 4.0)  # weights of background, object and border, which is rare


class Task(NamedTuple):
    """A kind of mask, and how many classes it has."""

    kind: Kind
    classes: int = 1

    @property
    def outputs(self) -> int:
        """Channels of the model's output."""
        return 3 if self.kind == "instances" else self.classes

    def target(self, mask: Array) -> Array:
        """What the model is trained towards: (1, H, W) of zeros and ones, or numbers of classes (H, W)."""
        return border_classes(mask) if self.kind == "instances" else mask

    def criterion(self) -> Any:
        """The loss of logits."""
        if self.kind == "binary":
            bce, overlap = BCELoss(), DiceLoss()
            return lambda output, target: bce(output, target) + overlap(output, target)
        return CrossEntropyLoss(weight=nx.tensor(_BORDER) if self.kind == "instances" else None)

    def probabilities(self, output: Array) -> Array:
        """Of a model's output (K, H, W), which is logits unless the task is binary."""
        return output if self.kind == "binary" else np.asarray(nx.nn.functional.softmax(nx.tensor(output), 0).numpy())

    def decide(self, output: Array) -> Array:
        """Of a model's output (K, H, W) the mask: truth, numbers of classes, or numbers of objects; (H, W)."""
        if self.kind == "binary":
            return np.asarray(output[0] > 0.5)
        if self.kind == "classes":
            return np.asarray(output.argmax(0))
        found: Array = objects_of_classes(self.probabilities(output))
        return found

    def score(self, found: Array, mask: Array) -> float:
        """How well a mask was found: IoU, mean IoU over classes, or panoptic quality; 1 is best."""
        if self.kind == "instances":
            return float(panoptic_quality(found, mask))
        if self.kind == "binary":
            return float(iou(found, mask.reshape(found.shape) > 0))
        return float(iou(found, mask, num_classes=self.classes))

    @property
    def measure(self) -> str:
        """The score's name."""
        return {"binary": "IoU", "classes": "mean IoU", "instances": "panoptic quality"}[self.kind]


def numbers_of(path: Path, page: int) -> Array:
    """A mask (H, W) as it is stored.

    Raises
    ------
    FileError
        If it holds something else than whole numbers.
    """
    mask = read_image(path, page)
    mask = mask if mask.ndim == 2 else mask[..., 0]
    if mask.dtype.kind == "f" and np.isfinite(mask).all() and np.array_equal(mask, np.rint(mask)):
        mask = mask.astype(np.int64)
    if mask.dtype.kind not in "biu":
        raise FileError(f"train: expected masks of whole numbers, got {mask.dtype} in {path.name}; store one integer a pixel")
    return mask


def recognise(masks: Iterable[Array], asked: str = "auto") -> Task:
    """Tell from all masks of a folder whether they hold two values, numbers of classes or numbers of objects.

    Two values are a binary mask, also 0 and 1 in one file and 0 and 255 in another. Else numbers are those of objects where there are more
    than classes have, or where nearly every one of them is one connected region, there are many, and they are not the same in nearly all
    of several masks, as those of organs are.

    Raises
    ------
    FileError
        If they hold shades of grey: many numbers, each in many regions. Not where it is ``asked`` what they are.
    """
    values: set[int] = set()
    sets: Counter[bytes] = Counter()
    regions = objects = count = 0
    several = False  # whether any mask holds more than 0 and another value
    for count, mask in enumerate(masks, 1):  # noqa: B007 - the number of the last one
        seen = np.unique(mask)
        values.update(seen.tolist())
        sets[seen.tobytes()] += 1
        objects += int((seen > 0).sum())
        several |= int((seen > 0).sum()) > 1
        regions += int(connected_components(mask.astype(np.int64)).max())
    most = max(values, default=0)
    if not values - {0}:
        tell("no mask holds anything but 0: a model that is trained on them finds nothing", ranks())
    if len(values - {0}) <= 1 or (not several and values <= _TRUTHS):
        return Task("binary")
    alike = count >= _SEVERAL and max(sets.values()) >= 0.8 * count
    if most >= _FEW and regions > _TORN * objects and asked == "auto":
        raise FileError(
            f"train: expected numbers of classes or of objects in masks, got {len(values)} values up to {most}, each in {regions / objects:.0f} "
            "regions, as shades of grey are (of JPEG files, or of masks that were resized smoothly); save masks as PNG or TIFF, resize them "
            "to the nearest pixel, or pass --masks-are classes or instances"
        )
    if most >= _FEW or (not alike and objects > 2 * count and regions < 1.2 * objects):
        return Task("instances")
    if missing := sorted(set(range(1, most + 1)) - values):
        tell(f"no mask holds {'class' if len(missing) == 1 else 'classes'} {', '.join(map(str, missing))}", ranks())
    return Task("classes", most + 1)
