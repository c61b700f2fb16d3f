"""MkDocs hook: the library makes the pictures, the reference lists what is public, and nothing may come from elsewhere."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

HOOKS = Path(__file__).resolve().parent

MEMBERS = re.compile(r"^\[\[members ([\w.]+)(?: of ([\w., ]+))?\]\]$", re.M)
MEASURED = re.compile(r"^\[\[measured (\w+)\]\]$", re.M)
CODE = re.compile(r"^\[\[code (\S+) from `(.+?)`(?: to `(.+?)`)?\]\]$", re.M)
LANGUAGES = {".py": "py", ".rs": "rust", ".cu": "cpp"}
FOREIGN = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=["']?(?:https?:)?//[^"'\s>]+""")


def on_pre_build(config: Any) -> None:
    """Draw what the pages show."""
    if str(HOOKS) not in sys.path:
        sys.path.insert(0, str(HOOKS))
    import architectures
    import augmentations
    import blocks
    import curves
    import performance
    import photographs
    import scales

    folder = Path(config["docs_dir"]) / "pictures"
    folder.mkdir(exist_ok=True)
    for figure in (*architectures.FIGURES, *blocks.FIGURES):
        figure().save(folder / f"{figure.__name__}.svg")
    photographs.make_all(folder)
    scales.make_all(folder)
    augmentations.make_all(folder)
    for plots in (curves, performance):
        plots.make_all(folder, HOOKS.parents[1] / "benches" / "results")


def members(match: re.Match[str]) -> str:
    """One reference a public class and function of a module, or of those that come from some of its rooms."""
    name, rooms = match[1], [r.strip() for r in (match[2] or "").split(",") if r.strip()]
    module = importlib.import_module(name)
    values = {n: getattr(module, n) for n in dir(module) if not n.startswith("_")}  # also what loads when first used
    found = {n: v for n, v in values.items() if inspect.isclass(v) or inspect.isfunction(v)}
    home = {n: v.__module__.removeprefix("neurenix.") for n, v in found.items() if v.__module__.startswith("neurenix")}
    chosen = sorted(n for n, h in home.items() if not rooms or any(h == r or h.startswith(r + ".") for r in rooms))
    if not chosen:
        raise SystemExit(f"docs: no members for {match[0]}")
    return "\n\n".join(f"::: {name}.{n}" for n in chosen)


def measured(match: re.Match[str]) -> str:
    """The table that a benchmark left in benches/results, and on what machine."""
    found = json.loads((HOOKS.parents[1] / "benches" / "results" / f"{match[1]}.json").read_text())
    keys = list(dict.fromkeys(k for row in found["rows"] for k in row))
    lines = [keys, ["---"] * len(keys), *([str(row.get(k, "")) for k in keys] for row in found["rows"])]
    about = found["machine"]
    where = f"{about['processor']}, {about['threads']} threads, {about['level']} (FMA peak {about['fma_gflops']} GFLOP/s, copying {about['copy_gbs']} GB/s)"
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n*{where}; commit {about['commit']}.*"


def code(match: re.Match[str]) -> str:
    """Lines of a source file, from the first that contains one text to the next that contains another."""
    path, first, last = match.groups()
    lines = (HOOKS.parents[1] / path).read_text().splitlines()
    begin = next((i for i, line in enumerate(lines) if first in line), None)
    end = begin if last is None or begin is None else next((i for i in range(begin, len(lines)) if last in lines[i]), None)
    if begin is None or end is None:
        raise SystemExit(f"docs: {path} has no longer the lines of {match[0]}")
    return f'```{LANGUAGES[Path(path).suffix]} title="{path}"\n' + "\n".join(lines[begin : end + 1]) + "\n```"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Write out ``[[members ...]]``, ``[[measured ...]]`` and ``[[code ...]]`` lines."""
    for pattern, write in ((MEMBERS, members), (MEASURED, measured), (CODE, code)):
        markdown = pattern.sub(write, markdown)
    return markdown


def on_post_build(config: Any) -> None:
    """Refuse a site that would fetch anything."""
    site = Path(config["site_dir"])
    found = [f"{page.relative_to(site)}: {m[0]}" for page in site.rglob("*.html") for m in FOREIGN.finditer(page.read_text())]
    if found:
        raise SystemExit("docs: pages fetch from elsewhere:\n" + "\n".join(found[:10]))
