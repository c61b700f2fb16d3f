"""Half-precision training as PyTorch does it, for tests/nn/test_amp.py: run in an environment with PyTorch, writes amp.json beside that test.

Numbers that go in are made here from a formula, so that the file holds results only.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from amp_cases import INFINITE_AT, SCALER, WEIGHTS, numbers

GOLDEN = Path(__file__).resolve().parents[1] / "unit" / "golden" / "amp.json"


def network(torch: Any, dtype: Any) -> dict[str, Any]:
    """Outputs and gradients of a small network in float32, or under autocast."""
    import torch.nn.functional as F

    given = {name: torch.tensor(numbers(name), requires_grad=True) for name in WEIGHTS}
    with torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        y = F.conv2d(given["x"], given["w1"], given["b1"], padding=1)
        y = F.relu(F.batch_norm(y, None, None, given["g"], given["h"], training=True))
        y = F.conv_transpose2d(F.max_pool2d(y, 2), given["w2"], stride=2)
        y = F.linear(y.flatten(2).mean(2), given["w3"], given["b3"])
        z = y @ given["m"]
        loss = F.cross_entropy(z, torch.tensor([1, 0]))
    loss.backward()
    found = {"loss": loss, "z": z, **{name: t.grad for name, t in given.items()}}
    return {name: t.detach().double().numpy().round(9).tolist() for name, t in found.items()}


def scaler(torch: Any) -> list[list[float]]:
    """Scale, count of good steps and the parameter after each step of a sequence with overflows."""
    p = torch.tensor([1.0, -2.0], requires_grad=True)
    optimizer, scaler = torch.optim.SGD([p], lr=0.125), torch.amp.GradScaler("cpu", **SCALER)
    found = []
    for step in range(14):
        optimizer.zero_grad()
        loss = (p * torch.tensor([0.5, 0.25])).sum()
        scaler.scale(loss).backward()
        if step in INFINITE_AT:
            p.grad[1] = math.inf if step % 2 else math.nan
        if step % 3 == 1:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        found.append([scaler.get_scale(), scaler.state_dict()["_growth_tracker"], *p.tolist()])
    return found


def main() -> None:
    """Write the file."""
    import torch

    torch.manual_seed(0)
    found = {
        "pytorch": torch.__version__,
        "float32": network(torch, None),
        "bfloat16": network(torch, torch.bfloat16),
        "float16": network(torch, torch.float16),
        "scaler": scaler(torch),
        "state": torch.amp.GradScaler("cpu", **SCALER).state_dict(),
    }
    values = np.array(
        [0.1, -1.00390625, 1.01171875, 65504.0, 65519.996, 65520.0, 3e-8, 2.9e-8, 1e-40, 3.3961775e38, 3.4e38, -0.0], np.float32
    )
    for name in ("bfloat16", "float16"):
        found[f"nearest {name}"] = [repr(v) for v in torch.tensor(values).to(getattr(torch, name)).double().tolist()]
    found["values"] = [repr(float(v)) for v in values]
    GOLDEN.write_text(json.dumps(found) + "\n")
    print(f"wrote {GOLDEN}: {np.__version__=}")


if __name__ == "__main__":
    main()
