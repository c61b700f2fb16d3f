"""Architectures as SVG: columns of boxes, arrows between them. Sizes come from tensors that the library computed."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

COLOURS = {"map": "#dbe4ff", "op": "#fff3bf", "out": "#d3f9d8", "vector": "#ffe3e3"}
BORDERS = {"map": "#4263eb", "op": "#e67700", "out": "#2b8a3e", "vector": "#c92a2a"}
BOX_WIDTH, COLUMN_GAP, ROW_GAP, MARGIN, TEXT = 158.0, 34.0, 20.0, 16.0, 12


@dataclass
class Box:
    """A map, an operation or an output: a line of text above a line with its size."""

    name: str
    text: str
    size: str = ""
    kind: str = "map"
    height: float = 44.0
    row: float | None = None  # vertical place in rows of 64 pixels; by default the column is centred


def sized(shape: tuple[int, ...]) -> str:
    """``64 @ 112 x 112`` for a (1, 64, 112, 112) map; ``(1, 10)`` for others."""
    return f"{shape[1]} @ {shape[2]} × {shape[3]}" if len(shape) == 4 else str(tuple(shape))


class Figure:
    """Boxes in columns from left to right, and arrows between named boxes."""

    def __init__(self, columns: list[list[Box]], arrows: list[tuple[str, str]], title: str) -> None:
        self.columns, self.arrows, self.title = columns, arrows, title
        self.places: dict[str, tuple[float, float, Box]] = {}
        self.height = max(sum(b.height + ROW_GAP for b in column) - ROW_GAP for column in columns) + 2 * MARGIN
        self._place()
        self.height = max(self.height, max(y + b.height for _, y, b in self.places.values()) + MARGIN)
        self.width = 2 * MARGIN + len(columns) * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP

    def _place(self) -> None:
        for i, column in enumerate(self.columns):
            x = MARGIN + i * (BOX_WIDTH + COLUMN_GAP)
            y = (self.height - sum(b.height + ROW_GAP for b in column) + ROW_GAP) / 2
            for box in column:
                top = y if box.row is None else MARGIN + 64 * box.row
                self.places[box.name] = (x, top, box)
                y += box.height + ROW_GAP

    def _box(self, x: float, y: float, box: Box) -> str:
        centre, middle = x + BOX_WIDTH / 2, y + box.height / 2
        lines = [line for line in (box.text, box.size) if line]
        first = middle + TEXT * 0.35 - (len(lines) - 1) * 8
        texts = "".join(
            f'<text x="{centre:.0f}" y="{first + 16 * i:.0f}" text-anchor="middle"{WEIGHT[i]}>{escape(line)}</text>'
            for i, line in enumerate(lines)
        )
        colours = f'fill="{COLOURS[box.kind]}" stroke="{BORDERS[box.kind]}"'
        return f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX_WIDTH:.0f}" height="{box.height:.0f}" rx="5" {colours}/>{texts}'

    def _arrow(self, start: str, end: str) -> str:
        (x0, y0, a), (x1, y1, b) = self.places[start], self.places[end]
        if x0 == x1:  # in one column: straight down or up
            down = y1 > y0
            begin, finish = (y0 + a.height, y1) if down else (y0, y1 + b.height)
            path = f"M {x0 + BOX_WIDTH / 2:.0f} {begin:.0f} V {finish:.0f}"
        else:
            begin, finish, bend = x0 + BOX_WIDTH, x1, COLUMN_GAP / 2
            ya, yb = y0 + a.height / 2, y1 + b.height / 2
            path = f"M {begin:.0f} {ya:.0f} H {finish - bend:.0f} V {yb:.0f} H {finish:.0f}"
        return f'<path d="{path}" fill="none" stroke="#495057" stroke-width="1.4" marker-end="url(#tip)"/>'

    def svg(self) -> str:
        """The figure's text."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:.0f} {self.height:.0f}" '
            f'width="{self.width:.0f}" font-family="system-ui, sans-serif" font-size="{TEXT}"><title>{escape(self.title)}</title>'
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M 0 0 L 8 4 L 0 8 z" fill="#495057"/></marker></defs>'
            f'<rect width="{self.width:.0f}" height="{self.height:.0f}" fill="white"/>'
        )
        arrows = "\n".join(self._arrow(a, b) for a, b in self.arrows)
        boxes = "\n".join(self._box(*place) for place in self.places.values())
        return f"{head}\n{arrows}\n{boxes}\n</svg>\n"

    def save(self, path: Path) -> None:
        """Write the figure."""
        path.write_text(self.svg())


WEIGHT = (' font-weight="600"', ' fill="#495057"')
