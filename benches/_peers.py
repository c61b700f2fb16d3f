"""The other libraries of the benchmarks: which are there, the networks in PyTorch, and files that every engine reads.

A peer that is not installed, or cannot do what is asked, is left out with a line that says so; where none is, ours runs alone.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# what it is called in a table, the module, the distribution
PEERS = {
    "PyTorch": ("torch", "torch"),
    "ONNX Runtime": ("onnxruntime", "onnxruntime"),
    "OpenVINO": ("openvino", "openvino"),
    "ncnn": ("ncnn", "ncnn"),
    "MNN": ("MNN", "mnn"),
    "OpenCV": ("cv2", "opencv-python-headless"),
}
TOOLS = {"onnx": "onnx", "pnnx": "pnnx"}  # what makes their files


def versions() -> dict[str, str]:
    """Versions of the peers that are installed, and of what makes their files."""
    wanted = {name: of for name, (module, of) in PEERS.items() if installed(module)} | TOOLS
    found = {}
    for name, of in wanted.items():
        try:
            found[name] = importlib.metadata.version(of)
        except importlib.metadata.PackageNotFoundError:  # installed under another name
            if name not in TOOLS:
                found[name] = "?"
    return found


def installed(module: str) -> bool:
    """Whether a module can be imported."""
    return importlib.util.find_spec(module) is not None


def left_out(side: str, reason: object) -> None:
    """Say why a side does not take part."""
    text = str(reason).strip().splitlines() or [type(reason).__name__]
    print(f"  left out: {side}: {text[0][:160]}", flush=True)


def attempt(side: str, build: Callable[[], Any]) -> Any:
    """What ``build`` makes; None where that fails, with a line that says why."""
    try:
        return build()
    except ImportError as error:
        left_out(side, f"{error.name or error} is not installed")
    except Exception as error:
        left_out(side, f"{type(error).__name__}: {error}")
    return None


def try_side(sides: dict[str, Any], name: str, build: Callable[[], Callable[[], Any]]) -> None:
    """Add what ``build`` makes to the sides, if it runs."""

    def ready() -> Callable[[], Any]:
        run = build()
        run()
        return run

    run = attempt(name, ready)
    if run is not None:
        sides[name] = run


def torch_threads(threads: int) -> None:
    """Give PyTorch as many threads as ours has, where it is installed; start its compiler anew."""
    if installed("torch"):
        import torch

        torch.set_num_threads(threads)
        torch.compiler.reset()


def torch_unet(features, in_channels=3, final=True):
    """``UNet(in_channels, 1, features)``, parameters and running statistics in our order; ``final=False`` gives logits."""
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


def write_unet(path: Path, peer: Any, x: np.ndarray) -> Path:
    """Write a network of PyTorch's in evaluation as ONNX, for input of this shape; give the path."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter, which needs nothing else to be installed
        torch.onnx.export(peer.eval(), (torch.from_numpy(x),), str(path), dynamo=False, opset_version=17, input_names=["x"])
    return path


def write_layers(path: Path, x: np.ndarray, w: np.ndarray, depth: int) -> Path:
    """Write ``depth`` 3x3 convolutions of one weight, one after the other, as ONNX; give the path."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    names = [f"y{i}" for i in range(depth + 1)]
    nodes = [helper.make_node("Conv", [names[i], f"w{i}"], [names[i + 1]], kernel_shape=[3, 3], pads=[1, 1, 1, 1]) for i in range(depth)]
    shape = [x.shape[0], w.shape[0], *x.shape[2:]]
    first = helper.make_tensor_value_info(names[0], TensorProto.FLOAT, list(x.shape))
    last = helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, shape)
    weights = [numpy_helper.from_array(w, f"w{i}") for i in range(depth)]
    model = helper.make_model(helper.make_graph(nodes, "layers", [first], [last], weights), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def error_of(found: Any, exact: np.ndarray) -> float:
    """The distance from exact results, relative to their spread."""
    return float(np.linalg.norm(np.asarray(found, np.float64) - exact) / (exact.std() * exact.size**0.5))
