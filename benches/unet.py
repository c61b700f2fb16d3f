"""U-Net inference and training step beside PyTorch, when it is installed: `python benches/unet.py`.

PyTorch runs eager in both memory formats (the better counts). Weights are the same, and the outputs are compared.
"""

from __future__ import annotations

import argparse

from _harness import fair_environment, interleave, machine, report
from _peers import torch_unet

fair_environment()

import numpy as np  # noqa: E402

import neurenix as nx  # noqa: E402
from neurenix.multiscale import UNet  # noqa: E402

CASES = {
    "inference 64..512 256x256 b1": ([64, 128, 256, 512], 1, 256, False),
    "inference 64..512 512x512 b1": ([64, 128, 256, 512], 1, 512, False),
    "inference 16..128 256x256 b4": ([16, 32, 64, 128], 4, 256, False),
    "training 64..512 256x256 b1": ([64, 128, 256, 512], 1, 256, True),
    "training 16..128 256x256 b4": ([16, 32, 64, 128], 4, 256, True),
}


def ours(features, batch, size, train):
    """A run of our network on fixed input."""
    model = UNet(3, 1, features)
    x = nx.Tensor(np.random.default_rng(0).random((batch, 3, size, size), dtype=np.float32))
    y = nx.Tensor((np.random.default_rng(1).random((batch, 1, size, size)) > 0.5).astype(np.float32))
    loss_fn, optimizer = nx.nn.BCELoss(), nx.optim.Adam(model.parameters(), lr=1e-3)
    model.train(train)

    def infer():
        with nx.no_grad():
            return model(x)

    def step():
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step if train else infer


def theirs(features, batch, size, train, channels_last):
    """The same run of PyTorch."""
    import torch

    model = torch_unet(features)
    x = torch.from_numpy(np.random.default_rng(0).random((batch, 3, size, size), dtype=np.float32))
    y = torch.from_numpy((np.random.default_rng(1).random((batch, 1, size, size)) > 0.5).astype(np.float32))
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    loss_fn, optimizer = torch.nn.BCELoss(), torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    model.train(train)

    def infer():
        with torch.inference_mode():
            return model(x)

    def step():
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step if train else infer


def sides(case, peer):
    """The runs to compare."""
    found = {"neurenix": ours(*case)}
    if peer:
        found |= {f"torch {'nhwc' if last else 'nchw'}": theirs(*case, last) for last in (False, True)}
    return found


def main() -> None:
    """Run the chosen cases and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    try:
        import torch

        torch.set_num_threads(nx.get_num_threads())
        peer = f"torch {torch.__version__}"
    except ImportError:
        peer = ""
    about, rows = machine() | {"peer": peer}, []
    for name, case in CASES.items():
        if args.only not in name:
            continue
        times = interleave(sides(case, peer), args.repeats)
        row = {"case": name} | {f"{k} ms": 1e3 * t for k, t in times.items()}
        if peer:
            row["ratio (peer / ours)"] = min(t for k, t in times.items() if k != "neurenix") / times["neurenix"]
        rows.append(row)
    report("unet", rows, about)


if __name__ == "__main__":
    main()
