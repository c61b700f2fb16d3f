"""Make this release's golden file: ``python make_golden.py``. Golden files are never made anew; each must load for ever."""

from pathlib import Path

import numpy as np

import neurenix as nx
from neurenix import nn


class Scale(nn.Module):
    """A user's class."""

    def __init__(self, size, start=1.0, *, name="scale"):
        self.name = name
        self.weight = nn.Parameter(np.full(size, start, np.float32))
        self.count = nn.Buffer(nx.tensor(0))


def main():
    """Train a little, save everything that a file can hold."""
    nx.manual_seed(0)
    model = nx.multiscale.UNet(2, 1, [4])
    model.head = nn.Sequential(nn.Conv2d(4, 3, kernel_size=1), nn.LeakyReLU(0.1))
    model.bottleneck.requires_grad_(False)
    optimizer = nx.optim.Adam(model.parameters(), lr=1e-2)
    x = np.random.default_rng(0).standard_normal((2, 2, 7, 6)).astype(np.float32)
    for step in range(12):
        optimizer.zero_grad()
        (model(x) - 0.5).square().mean().backward()
        if step < 3:
            optimizer.step()
    with nx.no_grad(), nx.set_float32_precision("ieee"):
        y = model.eval()(x).numpy()
    path = Path(__file__).parent / f"release-{nx.__version__}.nx"
    if path.exists():
        raise SystemExit(f"{path} exists")
    nx.save({"model": model, "x": x, "y": y, "optimizer": optimizer.state_dict(), "extra": Scale(2, 2.5)}, path)


if __name__ == "__main__":
    main()
