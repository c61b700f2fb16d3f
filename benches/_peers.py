"""The networks of the benchmarks in PyTorch, with parameters and running statistics in the same order as ours."""

from __future__ import annotations

from typing import Any


def torch_unet(features, in_channels=3, final=True):
    """``UNet(in_channels, 1, features)``; ``final=False`` gives logits."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [in_channels, *features]
            self.down = nn.ModuleList(level(a, b) for a, b in zip(widths, features, strict=False))
            self.bottom = level(features[-1], 2 * features[-1])
            self.up = nn.ModuleList(nn.ConvTranspose2d(2 * f, f, 2, stride=2) for f in features)
            self.dec = nn.ModuleList(level(2 * f, f) for f in features)
            self.out = nn.Conv2d(features[0], 1, 1)

        def forward(self, x):
            skips = []
            for stage in self.down:
                x = stage(x)
                skips.append(x)
                x = nn.functional.max_pool2d(x, 2)
            x = self.bottom(x)
            for up, stage in zip(reversed(self.up), reversed(self.dec), strict=True):
                x = stage(torch.cat([skips.pop(), up(x)], 1))
            x = self.out(x)
            return torch.sigmoid(x) if final else x

    torch.manual_seed(0)
    return Net()


def level(i: int, o: int) -> Any:
    """Two 3x3 convolutions, each normalised and rectified."""
    from torch import nn

    conv = lambda a, b: [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]  # noqa: E731
    return nn.Sequential(*conv(i, o), *conv(o, o))


def take_weights(peer, model) -> None:
    """Give the peer our model's parameters and buffers, which come in the same order."""
    import torch

    ours, theirs = list(model.state_dict().values()), list(peer.state_dict().values())
    with torch.no_grad():
        for mine, its in zip(ours, theirs, strict=True):
            its.copy_(torch.from_numpy(mine.numpy().copy()).reshape(its.shape))
