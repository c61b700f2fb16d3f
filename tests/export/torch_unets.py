"""Write ``torch_unets.json``: names and shapes of three libraries' U-Nets, and what they give. Run where PyTorch and they are.

``python torch_unets.py`` needs torch, segmentation_models_pytorch 0.6 and dynamic_network_architectures (nnU-Net's networks); the third is
the network of milesial/Pytorch-UNet, written out here. Weights and images come from ``tests/formula.py``, so that none are kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn

sys.path.append(str(Path(__file__).parents[1]))
import formula

TARGET = Path(__file__).with_suffix(".json")


class DoubleConv(nn.Module):
    def __init__(self, inner: int, outer: int, bias: bool) -> None:
        super().__init__()
        layers = [nn.Conv2d(inner, outer, 3, padding=1, bias=bias), nn.BatchNorm2d(outer), nn.ReLU()]
        self.double_conv = nn.Sequential(*layers, nn.Conv2d(outer, outer, 3, padding=1, bias=bias), nn.BatchNorm2d(outer), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, inner: int, outer: int, bias: bool) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inner, outer, bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, inner: int, outer: int, bias: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inner, inner // 2, kernel_size=2, stride=2)
        self.conv = DoubleConv(inner, outer, bias)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.conv(torch.cat([skip, self.up(x)], dim=1))


class OutConv(nn.Module):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Milesial(nn.Module):
    def __init__(self, channels: int, classes: int, width: int, bias: bool) -> None:
        super().__init__()
        self.inc = DoubleConv(channels, width, bias)
        for i in range(1, 5):
            setattr(self, f"down{i}", Down(width << (i - 1), width << i, bias))
        for i in range(1, 5):
            setattr(self, f"up{i}", Up(width << (5 - i), width << (4 - i), bias))
        self.outc = OutConv(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [self.inc(x)]
        for i in range(1, 5):
            found.append(getattr(self, f"down{i}")(found[-1]))
        x = found[-1]
        for i in range(1, 5):
            x = getattr(self, f"up{i}")(x, found[4 - i])
        return self.outc(x)


def networks() -> dict[str, nn.Module]:
    import segmentation_models_pytorch as smp
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    settings = {"encoder_weights": None, "classes": 2, "in_channels": 3, "decoder_channels": (24, 16, 12, 8, 4)}
    plain = {"norm_op": nn.InstanceNorm2d, "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "nonlin": nn.LeakyReLU, "nonlin_kwargs": {}}
    return {
        "milesial": Milesial(3, 2, 4, False),
        "milesial with biases": Milesial(1, 1, 4, True),
        "smp resnet18": smp.Unet("resnet18", **settings),
        "smp resnet50": smp.Unet("resnet50", **settings),
        "nnunet": PlainConvUNet(1, 4, [4, 8, 12, 12], nn.Conv2d, 3, [1, 2, 2, 2], 2, 3, 2, conv_bias=True, deep_supervision=False, **plain),
    }


def described(net: nn.Module) -> dict[str, object]:
    shapes = {name: tuple(t.shape) for name, t in net.state_dict().items()}
    own = {
        n: s for n, s in shapes.items() if ".all_modules." not in n and not n.startswith("decoder.encoder.")
    }  # others are the same tensors
    net.load_state_dict({n: torch.from_numpy(w) for n, w in formula.weights(own).items()}, strict=False)
    channels = next(iter(shapes.values()))[1]
    with torch.no_grad():
        found = net.double().eval()(torch.from_numpy(formula.image((1, channels, 64, 96))))
    part = [float(f"{v:.9g}") for v in found[0, :, 3::16, 5::16].reshape(-1).tolist()]
    return {"shapes": {n: list(s) for n, s in shapes.items()}, "channels": channels, "output": part}


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(described(net))}" for name, net in networks().items()]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
