"""Ratios of benches/results/history.jsonl as SVG: the last run beside its goals, and all runs."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

COLOURS = ("#4263eb", "#e67700", "#2b8a3e", "#c92a2a", "#5f3dc4", "#0b7285")
MET, SHORT, GOAL = "#4263eb", "#adb5bd", "#c92a2a"
WIDTH, TEXT, ROW = 820, 13, 26
CHOSEN = ("1024 channels, forward, over PyTorch", "inference, over the best", "training step, over the best")  # to be seen run by run
Line = dict[str, Any]


def make_all(folder: Path, results: Path) -> None:
    """Both pictures."""
    lines = [json.loads(line) for line in (results / "history.jsonl").read_text().splitlines()]
    (folder / "performance_ratios.svg").write_text(ratios(lines[-1]))
    (folder / "performance_history.svg").write_text(runs(lines))


def measured(line: Line) -> dict[str, Line]:
    """Ratios of a run by their work."""
    return {work: goal for work, goal in line["goals"].items() if goal["unit"] == "x" and "value" in goal}


def ratios(line: Line) -> str:
    """A bar a ratio, its goal as a mark, its bounds as a line."""
    entries, left, top = measured(line), 440, 34
    longest = max([1.5, *(max(e["value"], e["goal"]) for e in entries.values())])

    def x(value: float) -> float:
        return left + min(value, longest) / longest * (WIDTH - left - 50)

    parts = ['<text x="8" y="18">times as fast as the peer; the red mark is the goal, grey falls short</text>']
    for i, (work, e) in enumerate(entries.items()):
        y = top + ROW * i
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(work)}</text>')
        parts.append(f'<rect x="{left}" y="{y + 2}" width="{x(e["value"]) - left:.1f}" height="16" fill="{MET if e["met"] else SHORT}"/>')
        parts.append(f'<path d="M {x(e["low"]):.1f} {y + 10} H {x(e["high"]):.1f}" stroke="#212529"/>')
        parts.append(f'<path d="M {x(e["goal"]):.1f} {y} V {y + 20}" stroke="{GOAL}" stroke-width="2.5"/>')
        parts.append(f'<text x="{x(max(e["value"], e["high"])) + 6:.1f}" y="{y + 14}">{e["value"]:.2f}</text>')
    bottom = top + ROW * len(entries)
    parts.append(f'<path d="M {x(1):.1f} {top - 6} V {bottom}" stroke="#495057" stroke-dasharray="3 3"/>')
    return svg(parts, bottom + 10, "Ratios over peers and their goals")


def runs(lines: list[Line]) -> str:
    """A curve a ratio over the runs, in order."""
    chosen = [work for work in measured(lines[-1]) if work.endswith(CHOSEN)]
    high = max([1.0, *(measured(line)[work]["value"] for line in lines for work in chosen if work in measured(line))]) * 1.1
    left, right, top, bottom = 40, WIDTH - 20, 12, 300

    def place(run: int, value: float) -> tuple[float, float]:
        return left + (run + 0.5) / len(lines) * (right - left), bottom - value / high * (bottom - top)

    parts = [f'<path d="M {left} {top} V {bottom} H {right}" fill="none" stroke="#495057"/>']
    for value in range(int(high) + 1):
        parts.append(f'<text x="{left - 8}" y="{place(0, value)[1] + 4:.1f}" text-anchor="end">{value}</text>')
    for run, line in enumerate(lines):
        if run % -(-len(lines) // 6) == 0:
            parts.append(f'<text x="{place(run, 0)[0]:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(line["date"][:10])}</text>')
    for colour, (i, work) in zip(COLOURS, enumerate(chosen), strict=False):
        points = [place(run, measured(line)[work]["value"]) for run, line in enumerate(lines) if work in measured(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        parts.append(f'<rect x="{left}" y="{bottom + 34 + 20 * i}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{left + 20}" y="{bottom + 45 + 20 * i}">{escape(work)}</text>')
    return svg(parts, bottom + 44 + 20 * len(chosen), "Ratios over peers, run by run")


def svg(parts: list[str], height: float, title: str) -> str:
    """A picture of these parts."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" font-family="system-ui, sans-serif"'
    ground = f'<rect width="{WIDTH}" height="{height:.0f}" fill="white"/>'
    return "\n".join([f'{head} font-size="{TEXT}"><title>{escape(title)}</title>', ground, *parts, "</svg>\n"])
