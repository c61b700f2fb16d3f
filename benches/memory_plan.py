"""Planned peaks beside the ones that processes reach: `python benches/memory_plan.py`.

Every row is a process of its own: it builds a model, plans, runs, and reads what the system counted (VmHWM).
`python benches/memory_plan.py folder` runs 200 images of different sizes through one model beside the largest alone.
"""

from __future__ import annotations

import json
import subprocess
import sys

from _harness import machine, report

MODELS = {
    "UNet": "nx.multiscale.UNet(3, 1)",
    "UNet 16..128": "nx.multiscale.UNet(3, 1, [16, 32, 64, 128])",
    "PyramidNetwork": "nx.multiscale.PyramidNetwork(3, 2)",
    "MultiScaleModel": "nx.multiscale.MultiScaleModel(base_model=nx.nn.Sequential(nx.nn.ConvNormAct(3, 32), nx.nn.ConvNormAct(32, 32)))",
}
BEGIN = """
import json, sys
import numpy as np
import neurenix as nx

def highest():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))

nx.manual_seed(0)
"""
RUN = (
    BEGIN
    + """
model = {model}
shape, training, checkpointed = {shape}, {training}, {checkpointed}
plan = model.memory_plan(shape, training, optimizer=nx.optim.Adam if training else None)
print(plan, file=sys.stderr)
x = nx.Tensor(shape=shape)
if training:
    optimizer = nx.optim.Adam(model.parameters())
    for _ in range(3):
        model.zero_grad()
        if checkpointed:
            with nx.enable_gradient_checkpointing():
                y = model(x)
        else:
            y = model(x)
        y.mean().backward()
        optimizer.step()
else:
    model.eval()
    with nx.no_grad():
        for _ in range(3):
            y = model(x)
print(json.dumps([plan.checkpointed if checkpointed else plan.peak, highest()]))
"""
)
FOLDER = (
    BEGIN
    + """
model = nx.multiscale.UNet(3, 1, [16, 32, 64, 128]).eval()
sizes = np.random.default_rng(0).integers(64, {largest} + 1, ({images}, 2))
with nx.no_grad():
    for h, w in [*sizes, ({largest}, {largest})]:
        nx.predict(model, np.zeros((h, w, 3), np.uint8))
print(json.dumps(highest()))
"""
)


def outcome(program: str) -> object:
    """What a fresh process printed last."""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def row(name: str, shape: tuple[int, ...], training: bool, checkpointed: bool = False) -> dict[str, object]:
    """One process."""
    planned, got = outcome(RUN.format(model=MODELS[name], shape=shape, training=training, checkpointed=checkpointed))  # type: ignore[misc]
    how = ("training, checkpointed" if checkpointed else "training") if training else "inference"
    return {
        "model": name,
        "input": str(shape),
        "how": how,
        "planned MiB": round(planned / 2**20),
        "VmHWM MiB": round(got / 2**20),
        "off %": round(100 * (planned / got - 1), 1),
    }


def plans() -> list[dict[str, object]]:
    """Three models at three sizes, in both modes."""
    rows = []
    for name, batch in (("UNet", 1), ("UNet 16..128", 4), ("PyramidNetwork", 2), ("MultiScaleModel", 2)):
        for size in (128, 256, 512):
            rows.append(row(name, (1, 3, size, size), False))
            if size < 512 or name != "UNet":
                rows.append(row(name, (batch, 3, size, size), True))
    rows.append(row("UNet", (2, 3, 256, 256), True))
    rows.append(row("UNet", (2, 3, 256, 256), True, True))
    return rows


def folder(images: int = 200, largest: int = 1024) -> list[dict[str, object]]:
    """Many sizes in one process beside the largest alone."""
    many, one = (outcome(FOLDER.format(images=n, largest=largest)) for n in (images, 0))
    return [{"images": images, "VmHWM MiB": many / 2**20, "largest alone": one / 2**20, "times": many / one}]  # type: ignore[operator]


if __name__ == "__main__":
    if "folder" in sys.argv[1:]:
        report("memory_folder", folder(), machine())
    else:
        report("memory_plan", plans(), machine())
