"""Curves of benches/membranes.py against seconds of training, as SVG."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 400, 56, 44, 16, 190
COLOURS = {"unet": "#4263eb", "torch": "#e67700", "unet++": "#2b8a3e", "forest": "#868e96"}
NAMES = {"unet": "U-Net, neurenix", "torch": "U-Net, PyTorch", "unet++": "UNet++, supervised", "forest": "random forest"}
MEASURES = {"Rand error": "adapted Rand error, components", "Rand error, watershed": "adapted Rand error, watershed"}
CEILING = 0.5


def make_all(folder: Path, results: Path) -> None:
    """One picture a measure."""
    curves = json.loads((results / "membranes_curves.json").read_text())
    for number, (key, title) in enumerate(MEASURES.items()):
        (folder / f"membranes_{number}.svg").write_text(chart(curves, key, title))


def chart(curves: dict[str, list[dict[str, float]]], key: str, title: str) -> str:
    """Lines of every run, in the colour of its method."""
    longest = max(look["seconds"] for looks in curves.values() for look in looks)

    def place(look: dict[str, float]) -> tuple[float, float]:
        x = LEFT + look["seconds"] / longest * (WIDTH - LEFT - RIGHT)
        return x, TOP + (1 - min(look[key], CEILING) / CEILING) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *axes(longest, title)]
    for name, looks in curves.items():
        colour = COLOURS[name.split(",")[0]]
        points = [place(look) for look in looks]
        parts.append(
            f'<polyline points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in points)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        parts += [f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>' for x, y in points]
    shown = [method for method in NAMES if any(name.split(",")[0] == method for name in curves)]
    for i, method in enumerate(shown):
        y = TOP + 20 + 22 * i
        parts.append(f'<rect x="{WIDTH - RIGHT + 16}" y="{y - 9}" width="12" height="12" fill="{COLOURS[method]}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 34}" y="{y + 2}">{escape(NAMES[method])}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" font-family="system-ui, sans-serif"'
    return "\n".join([f'{head} font-size="13"><title>{escape(title)} against time</title>', *parts, "</svg>\n"])


def axes(longest: float, title: str) -> list[str]:
    """Frame, numbers and names of the axes."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<path d="M {LEFT} {TOP} V {bottom} H {right}" fill="none" stroke="#495057"/>']
    for i in range(6):
        y = TOP + i / 5 * (bottom - TOP)
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{CEILING * (1 - i / 5):.1f}</text>')
    for minute in range(int(longest // 60) + 1):
        x = LEFT + 60 * minute / longest * (right - LEFT)
        parts.append(f'<text x="{x:.0f}" y="{bottom + 18}" text-anchor="middle">{minute}</text>')
    parts.append(f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">minutes of training</text>')
    parts.append(f'<text x="{LEFT + 8}" y="{TOP + 12}" fill="#495057">{escape(title)}</text>')
    return parts
