"""Write docs/performance.md from benches/results, and keep the history: `python benches/page.py` writes the page anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from _goals import GOALS, OF_COPY, OURS, Found, Results, is_float32, named, over, reached, rows_of, together
from _harness import HERE, RESULTS

PAGE = HERE.parent / "docs" / "performance.md"
PROGRAMS = ("conv", "unet", "memory", "memory_plan", "peaks", "imports")
SHOWN = (  # in the table of runs
    "3x3 layers of 64 to 1024 channels, forward, over PyTorch",
    "U-Net 64..512, 256x256, inference, over the best",
    "U-Net 64..512, 512x512, inference, over the best",
    "U-Net 64..512, training step, over the best",
    "U-Net 16..128, batch 4, inference, over the best",
    "U-Net 16..128, batch 4, training step, over the best",
)

HEAD = """# Performance

Written by `make bench`, which measures everything here in one run: ours beside what a user could pick instead, each at its best setting, with
the same weights. A ratio is a peer's time over ours: above 1 we are faster. "The best" is the fastest peer in float32 with an error under 1e-5 at the
logits; faster ones that are not so exact are listed too.
"""
HOW = """
## How it is measured

- Sides run in turn in one process (A B A B ...), medians of 7 samples, quartiles beside them; a sample is one call, or a burst of calls of at
  least 10 ms. Before each turn the threads of the side before it have gone to sleep, and OpenMP threads wait without spinning
  (`OMP_WAIT_POLICY=PASSIVE`).
- The bounds of a ratio take one side at its upper and the other at its lower quartile.
- Errors are distances from float64 results relative to their spread (L2): of the logits, which are not near zero.
- PyTorch: eager and `torch.compile`, in both memory orders; inference under `inference_mode`; Adam with `fused=True`. Engines have the network in
  ONNX: ONNX Runtime with all optimisations; OpenVINO with float32 and the latency hint (bfloat16, its default on processors that have it, is
  shown apart); ncnn through pnnx, in float32 with Winograd's algorithm and packed layouts; MNN with precision "high" by its default and with
  exact forms of Winograd's algorithm. All have as many threads as ours. At 512x512 PyTorch runs channels last only, its faster order there.
- ncnn takes a batch image after image. Of layers with 64 channels and more the engines run a network of one layer (ncnn from and to its own
  layout), of layers with 16 and 32 one of four, so that changes of layout at the ends count little.
- 3x3 layers of at least 16 channels take Winograd's algorithm here: within 1.5e-6 of exact, where direct sums are within 5e-7
  (`nx.set_float32_precision("ieee")`). PyTorch on a CPU is always direct; ncnn and MNN use Winograd's algorithm too.
- Peak memory is what a process held at most (VmHWM), from its start, after three runs. Start-up is a fresh interpreter each time.

```bash
make bench                       # peers in an environment of their own, made from benches/peers.txt on the first call
make bench PEERS=path/to/python  # beside the peers that this Python has
make bench PEERS=none            # ours alone, beside the machine's limits
```

A peer that is not there is left out. Every run adds a line to `benches/results/history.jsonl`.
"""


def table(lines: list[list[str]]) -> str:
    """Markdown of rows of texts, the first the head."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], ["---"] * len(lines[0]), *lines[1:]]) + "\n"


def short(value: Any) -> str:
    """Three digits; texts as they are."""
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:.0f}" if isinstance(value, float) else str(value)


def times(found: Found | None) -> str:
    """A ratio; a dash where nothing was beside."""
    return "–" if found is None else f"{found.value:.2f}"


def goals(entries: dict[str, dict[str, Any]]) -> str:
    """The table of goals, with what falls short marked."""
    lines = [["work", "measured", "between", "goal", "", "beside"]]
    for work, entry in entries.items():
        unit = "" if entry["unit"] == "x" else " " + entry["unit"]
        goal = f"{'at least' if entry['unit'] in ('x', OF_COPY) else 'at most'} {entry['goal']:g}{unit}"
        if "value" not in entry:
            lines.append([work, "–", "", goal, "not measured", ""])
            continue
        measured, verdict = f"{short(float(entry['value']))}{unit}", "reached" if entry["met"] else "**falls short**"
        between = "" if entry["low"] == entry["high"] else f"{short(float(entry['low']))} to {short(float(entry['high']))}"
        lines.append([work, measured, between, goal, verdict, entry.get("beside", "")])
    return table(lines)


def kind(about: dict[str, Any]) -> tuple[str, str]:
    """What figures may stand beside each other: those of one processor and level."""
    return about["processor"], about["level"].removesuffix("_bf16")


def elsewhere(history: list[dict[str, Any]]) -> str:
    """Every goal on the processors of earlier runs, each by its last whole run; nothing where there was but one."""
    last = {kind(line): line for line in history if len(line["goals"]) == len(GOALS)}
    last.pop(kind(history[-1]), None)
    if not last:
        return ""
    heads = [f"{name}, {level}, FMA {line['fma_gflops']:.0f} GFLOP/s; {line['commit']}" for (name, level), line in last.items()]
    lines = [["work", "goal", *heads]]
    for work, entry in history[-1]["goals"].items():
        found = [line["goals"].get(work, {}) for line in last.values()]
        cells = [short(float(f["value"])) + ("" if f["met"] else ", **short**") if "value" in f else "–" for f in found]
        lines.append([work, f"{entry['goal']:g}{'' if entry['unit'] == 'x' else ' ' + entry['unit']}", *cells])
    return "## Goals on other processors\n\nThe last run on each.\n\n" + table(lines)


def sides(rows: list[dict[str, Any]]) -> str:
    """A case's sides, the fastest first."""
    lines = [["", "ms", "quartiles", "times ours", "error"]]
    fastest = min((r["ms"] for r in rows if r["side"] != OURS and is_float32(r)), default=0)
    for row in sorted(rows, key=lambda r: r["ms"]):
        name = f"**{row['side']}**" if row["side"] == OURS else row["side"] + (" (the best)" if row["ms"] == fastest else "")
        error = f"{row['error']:.1e}" if "error" in row else ""
        quartiles = f"{short(float(row['low ms']))} to {short(float(row['high ms']))}"
        lines.append([name, short(float(row["ms"])), quartiles, f"{row['over ours']:.2f}", error])
    return table(lines)


def unets(results: Results) -> str:
    """Tables of the U-Nets."""
    rows = rows_of(results, "unet")
    if not rows:
        return ""
    parts = [f"### {case}\n\n" + sides([r for r in rows if r["case"] == case]) for case in dict.fromkeys(r["case"] for r in rows)]
    return "## U-Nets\n\n" + "\n".join(parts)


def layers(results: Results) -> str:
    """Tables of layers: ours, and ratios over peers."""
    text = ""
    titles = {"wide": "3x3, 64 to 1024 channels", "narrow": "3x3, 16 and 32 channels", "other": "The others"}
    for kind, title in titles.items():
        rows = rows_of(results, "conv", kind=kind)
        if not rows:
            continue
        heads = ["layer", "ours, ms", "GFLOP/s", "over PyTorch", "input gradient", "weight gradient", "together"]
        heads += [] if kind == "other" else ["over ncnn", "over MNN, exact", "over the best", "error"]
        lines = [heads]
        for case in dict.fromkeys(row["case"] for row in rows):
            parts = {part: [r for r in rows if r["case"] == case and r["part"] == part] for part in ("forward", "dx", "dw")}
            mine = next(r for r in parts["forward"] if r["side"] == OURS)
            cells = [case, short(float(mine["ms"])), f"{mine['GFLOP/s']:.0f}"] + [times(over(p, named("PyTorch"))) for p in parts.values()]
            cells.append(times(together([r for p in parts.values() for r in p], named("PyTorch"))))
            if kind != "other":
                cells += [times(over(parts["forward"], counts)) for counts in (named("ncnn"), named("MNN, exact"), is_float32)]
                cells.append(f"{mine['error']:.1e}")
            lines.append(cells)
        text += f"\n### {title}\n\n" + table(lines)
    return text and "## Convolution layers\n" + text


def bound_by_memory(results: Results) -> str:
    """Operations that are bound by memory: ours, and each peer's milliseconds."""
    rows = rows_of(results, "memory")
    if not rows:
        return ""
    peers = [side for side in dict.fromkeys(row["side"] for row in rows) if side != OURS]
    lines = [["operation", "ours, ms", "GB/s", OF_COPY, *(f"{side}, ms" for side in peers), "over the best"]]
    for case in dict.fromkeys(row["case"] for row in rows):
        by_side = {row["side"]: row for row in rows if row["case"] == case}
        mine = by_side[OURS]
        cells = [case, short(float(mine["ms"])), short(float(mine["GB/s"])), f"{mine[OF_COPY]:.0%}"]
        cells += [short(float(by_side[side]["ms"])) if side in by_side else "–" for side in peers]
        lines.append([*cells, times(over(list(by_side.values()), is_float32))])
    return "## Operations bound by memory\n\n" + table(lines)


def plain(results: Results, program: str, title: str) -> str:
    """A program's rows as they are."""
    rows = rows_of(results, program)
    if not rows:
        return ""
    keys = list(dict.fromkeys(key for row in rows for key in row if key != "kind"))
    return f"## {title}\n\n" + table([keys, *([short(row.get(key, "")) for key in keys] for row in rows)])


def runs(history: list[dict[str, Any]]) -> str:
    """The last runs, newest first."""
    lines = [["date", "commit", "processor", *SHOWN]]
    for line in history[:-13:-1]:
        values = [line["goals"].get(work, {}).get("value", "–") for work in SHOWN]
        lines.append([line["date"], line["commit"], f"{line['processor']}, FMA {line['fma_gflops']:.0f} GFLOP/s", *map(short, values)])
    return "## Runs\n\n![Ratios of the runs](pictures/performance_history.svg)\n\n" + table(lines)


def where(line: dict[str, Any]) -> str:
    """Machine, versions, commit."""
    limits = f"multiply-adds {line['fma_gflops']} GFLOP/s, copying {line['copy_gbs']} GB/s"
    versions = ", ".join(f"{name} {version}" for name, version in line.get("versions", {}).items()) or "no peers"
    text = f"\n{line['processor']}, {line['threads']} threads, {line['level']}; limits of this machine: {limits}. Beside {versions}; "
    text += f"Python {line['python']}; {line['date']} UTC, commit {line['commit']}.\n"
    if line.get("busy", 0) > 0.05:
        text += f"\n**Other programs took {line['busy']:.0%} of the machine when this run began: its figures are rough.**\n"
    return text


def text(results: Results, history: list[dict[str, Any]]) -> str:
    """The page, of the last run."""
    last = history[-1]
    parts = [
        HEAD + where(last),
        "## Goals\n\n" + goals(last["goals"]) + "\n![Ratios and goals](pictures/performance_ratios.svg)\n",
        elsewhere(history),
        unets(results),
        layers(results),
        bound_by_memory(results),
        plain(results, "peaks", "Peak memory"),
        plain(results, "memory_plan", "Planned memory"),
        plain(results, "imports", "Start-up"),
        runs(history),
    ]
    return "\n".join(part.strip("\n") + "\n" for part in parts if part) + HOW


def results_in(folder: Path, about: dict[str, Any]) -> Results:
    """What the programs left in a folder on this processor: rows of sides. A run of some of them may have been on another."""
    found = {}
    for program in PROGRAMS:
        path = folder / f"{program}.json"
        left = json.loads(path.read_text()) if path.exists() else None
        if left is not None and kind(left["machine"]) == kind(about):
            found[program] = [row for row in left["rows"] if "side" in row or program == "memory_plan"]
    return found


def history_in(folder: Path) -> list[dict[str, Any]]:
    """The lines of the history, oldest first."""
    path = folder / "history.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write(folder: Path, line: dict[str, Any], page: Path | None = None) -> None:
    """Add a run to the history and write the page."""
    with (folder / "history.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    results = results_in(folder, line)
    (page or PAGE).write_text(text(results, history_in(folder)))
    print(f"\nwritten: {page or PAGE}\n\n" + goals(reached(results)))


if __name__ == "__main__":
    runs_kept = history_in(RESULTS)
    PAGE.write_text(text(results_in(RESULTS, runs_kept[-1]), runs_kept))
