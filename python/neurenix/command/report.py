"""One page that shows how a model did: measures of every image in a table, image, truth and prediction under a slider.

The page holds all that it shows; it can be sent as it is.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final

import numpy as np

from neurenix import png
from neurenix.command.files import provenance, write_text
from neurenix.picture import overlay, rgb, visible

Array = np.ndarray[Any, Any]
_SIDE: Final = 640  # pixels of a picture's longer side at most: every nth of a larger image
_LAYERS: Final = ("image", "truth", "found")


def pictures_of(image: Array, truth: Array, found: Array) -> tuple[str, str, str]:
    """Image (C, H, W), and with the contours of its masks (H, W), as the addresses of pictures that hold their own data."""
    step = -(-max(found.shape) // _SIDE)
    plain = rgb(visible(image)[::step, ::step])
    masks = (np.ascontiguousarray(mask.reshape(found.shape)[::step, ::step]) for mask in (truth, found))
    first, second, third = (_address(p) for p in (plain, *(overlay(plain, mask, fill=0.4) for mask in masks)))
    return first, second, third


def _address(pixels: Array) -> str:
    return "data:image/png;base64," + b64encode(png.encode(np.ascontiguousarray(pixels))).decode()


def write_report(
    path: Path, title: str, rows: Sequence[Mapping[str, Any]], pooled: Mapping[str, float], pictures: Sequence[tuple[str, str, str]]
) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
    title : str
    rows : list of dict
        "image", "page" and the measures of each image.
    pooled : dict
        The measures over all images.
    pictures : list of (str, str, str)
        What :func:`pictures_of` gives of each image.
    """
    names = [_name(row) for row in rows]
    page = Template(files("neurenix.command").joinpath("report.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        origin=escape(" · ".join(f"{name} {value}" for name, value in provenance().items())),
        pooled="".join(f"<div><dt>{escape(name)}</dt><dd>{value:.4f}</dd></div>" for name, value in pooled.items()),
        head="".join(f'<th scope="col"><button>{escape(name)}</button></th>' for name in ("image", *pooled)),
        rows="\n".join(_row(i, name, [row[m] for m in pooled]) for i, (name, row) in enumerate(zip(names, rows, strict=True))),
        pictures="\n".join(_figure(i, name, shown) for i, (name, shown) in enumerate(zip(names, pictures, strict=True))),
    )
    write_text(path, page)


def _name(row: Mapping[str, Any]) -> str:
    return str(row["image"]) if row["page"] in (None, "") else f"{row['image']}, page {row['page']}"


def _row(number: int, name: str, values: Sequence[float]) -> str:
    cells = "".join(f'<td data-value="{v}" style="--part:{0 if np.isnan(v) else 100 * v:.1f}">{v:.4f}</td>' for v in values)
    return f'<tr data-figure="f{number}"><td><a href="#f{number}">{escape(name)}</a></td>{cells}</tr>'


def _figure(number: int, name: str, shown: Sequence[str]) -> str:
    layers = "".join(f'<img class="{layer}" alt="{layer}" src="{address}">' for layer, address in zip(_LAYERS, shown, strict=True))
    slider = f'<input type="range" min="0" max="200" value="0" aria-label="{escape(name)}: from image over truth to prediction">'
    ends = '<div class="ends"><span>image</span><span>truth</span><span>prediction</span></div>'
    return f'<figure id="f{number}"><figcaption>{escape(name)}</figcaption><div class="stage">{layers}</div>{slider}{ends}</figure>'
