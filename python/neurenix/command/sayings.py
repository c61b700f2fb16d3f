"""Errors in the command line's words: they come from functions of Python, whose arguments the command's users never see."""

from __future__ import annotations

import re
from typing import Final

_INSIDE: Final = re.compile(r"^(?:train|predict|eval|plan|export|predict_file|ImageMaskFolder|open_image|read_picture): (?=expected)")
_INSTEAD: Final = tuple(
    (re.compile(text), words)
    for text, words in (
        (r"pass mask_type='classes' and colors=\[.*?\], whose order numbers the classes", "save the number of its class in each pixel"),
        (r"pass mask_type='binary', threshold=0\.5 for probabilities", "save 0 and 1"),
        (
            r"pass mask_type='classes' for numbers of classes, mask_type='instances' for numbers of objects, or threshold= for shades of grey",
            "train with --masks-are classes for numbers of classes, --masks-are instances for numbers of objects; save shades of grey as 0 and 255",
        ),
        (
            r"raise num_classes, or pass ignore_index= for the number of unlabelled pixels",
            "the model knows no more: number classes as in training",
        ),
        (r"check the folders and mask_suffix=", "check the folders, or pass --mask-suffix where masks have longer names"),
        (r"leave out channels=", "leave out --channels"),
        (r"approximate=True", "--approximate"),
    )
)


def said(error: Exception) -> str:
    """An error's text, as the command tells it."""
    text = _INSIDE.sub("", str(error))
    for pattern, words in _INSTEAD:
        text = pattern.sub(words, text)
    return text
