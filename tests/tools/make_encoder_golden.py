"""Write tests/multiscale/encoders.json: names, maps and gradients of torchvision's networks under weights made by a formula.

Needs PyTorch and torchvision; the tests read the file only.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE))
from formula import image, weights  # noqa: E402 - the tests use it too

NETWORKS = {"resnet18": (37, 50), "resnet34": (33, 31), "resnet50": (37, 50), "convnext_tiny": (64, 32)}


def maps_of(model: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """What each stage gives."""
    if not hasattr(model, "layer1"):
        found = []
        for i, layer in enumerate(model.features):
            x = layer(x)
            found += [x] * (i % 2)
        return found
    found = [model.relu(model.bn1(model.conv1(x)))]
    x = model.maxpool(found[0])
    for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
        x = layer(x)
        found.append(x)
    return found


def samples(x: torch.Tensor) -> list[float]:
    """Eight values of a tensor, from its first to its last, and the mean of all."""
    flat = x.detach().numpy().ravel()
    return [float(v) for v in [*flat[np.linspace(0, flat.size - 1, 8).astype(int)], flat.mean()]]


def main() -> None:
    """Write the file."""
    golden = {}
    for name, size in NETWORKS.items():
        model = getattr(torchvision.models, name)().double().eval()
        state = {n: t for n, t in model.state_dict().items() if not n.startswith(("fc.", "classifier."))}
        text = "\n".join(sorted(f"{n} {tuple(t.shape)}" for n, t in state.items()))
        made = weights({n: tuple(t.shape) for n, t in state.items()})
        model.load_state_dict({n: torch.from_numpy(a) for n, a in made.items()}, strict=False)
        x = torch.from_numpy(image((2, 3, *size))).requires_grad_()
        found = maps_of(model, x)
        sum((m * m).sum() for m in found).backward()
        golden[name] = {
            "size": size,
            "state": hashlib.sha256(text.encode()).hexdigest(),
            "maps": [samples(m) for m in found],
            "shapes": [list(m.shape) for m in found],
            "gradient": samples(x.grad),
        }
    lines = ",\n".join(f'"{name}": {json.dumps(entry)}' for name, entry in golden.items())
    (HERE / "multiscale" / "encoders.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
