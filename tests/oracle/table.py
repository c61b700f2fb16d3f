"""``make oracle``: how many cases of each operation, layer and optimizer agree, by family, in both precisions."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import cases


def job(task: tuple[str, str]) -> tuple[str, str, str, int, int, list[str]]:
    """Family, name, cases, cases that passed, and lines about the others, of one name in both precisions."""
    kind, name = task
    outcomes = [o for precision in cases.PRECISIONS for o in cases.run(kind, name, precision)]
    passed = sum(o.result == "pass" for o in outcomes)
    return kind, cases.family(kind, name), name, len(outcomes), passed, cases.wrong(name, outcomes)


def show(rows: list[tuple[str, str, str, int, int, list[str]]]) -> None:
    """Print the table; a star marks what docs/unsupported.md lists."""
    families = defaultdict(list)
    for row in rows:
        families[row[1]].append(row)
    for family, members in sorted(families.items()):
        cases_of, passed_of = sum(r[3] for r in members), sum(r[4] for r in members)
        print(f"{family:52}{cases_of:6}{passed_of:8}{100 * passed_of / cases_of:8.1f}%")
        for _, _, name, total, passed, _ in sorted(members, key=lambda r: r[2]):
            star = " *" if name in cases.UNSUPPORTED else ""
            print(f"    {name[:46]:48}{total:6}{passed:8}{100 * passed / total:8.1f}%{star}")


def main() -> int:
    """Run everything in two or more processes."""
    tasks = [(kind, name) for kind, names in cases.CASES.items() for name in names]
    with ProcessPoolExecutor(max_workers=max(2, min(8, os.cpu_count() or 2)), mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(job, tasks, chunksize=8))
    print(f"{'family and operation':52}{'cases':>6}{'passed':>8}{'':>8}")
    show(rows)
    total, passed = sum(r[3] for r in rows), sum(r[4] for r in rows)
    lines = [line for row in rows for line in row[5]]
    print(f"{'all, each case in two precisions':52}{total:6}{passed:8}{100 * passed / total:8.1f}%")
    for line in lines:
        print(f"WRONG {line}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
