"""Engines that run a network from a file: ONNX Runtime, OpenVINO, ncnn and MNN, each at its best setting in float32, and others.

An engine takes a file in ONNX, an input (N, C, H, W) and a number of threads, and gives a function that runs and returns the output.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Engine = Callable[[Path, np.ndarray, int], Callable[[], np.ndarray]]
BELOW = 1e-5  # the largest error with which an engine counts as float32
NCNN_IN_HALF = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage", "use_bf16_packed")
MNN_FASTEST, MNN_EXACT, MNN_SMALL = None, 1, 0  # how many forms of Winograd's algorithm it may choose from
WINOGRAD_LEVEL = 3  # MNN's number of that hint


def by_onnx_runtime(path: Path, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """All optimisations of the graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x}
    return lambda: session.run(None, feed)[0]


def by_openvino(path: Path, x: np.ndarray, threads: int, precision: str = "f32") -> Callable[[], np.ndarray]:
    """Made for the shortest time of one input."""
    import openvino

    core = openvino.Core()
    if precision not in ("f32", "") and precision.upper() not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise RuntimeError(f"this processor has no {precision}")
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(str(path), "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(x))

    def run() -> np.ndarray:
        request.infer()
        return request.get_output_tensor().data

    return run


def by_openvino_bf16(path: Path, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """In bfloat16, which it takes by itself on processors that have it."""
    return by_openvino(path, x, threads, "bf16")


def ncnn_net(path: Path, threads: int) -> Any:
    """A network for ncnn, through pnnx; the files stay beside the one in ONNX."""
    import ncnn

    param = path.with_suffix(".ncnn.param")
    if not param.exists():
        convert([tool("pnnx"), path.name, "fp16=0"], path.parent)
    net = ncnn.Net()
    net.opt.num_threads = threads  # Winograd, sgemm and packed layouts are on by themselves
    for name in NCNN_IN_HALF:
        if hasattr(net.opt, name):
            setattr(net.opt, name, False)
    net.load_param(str(param))
    net.load_model(str(path.with_suffix(".ncnn.bin")))
    return net


def by_ncnn(path: Path, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """Image after image: it knows no batches."""
    import ncnn

    net, images = ncnn_net(path, threads), [ncnn.Mat(image).clone() for image in x]

    def run() -> np.ndarray:
        found = []
        for image in images:
            extractor = net.create_extractor()
            extractor.input("in0", image)
            found.append(np.array(extractor.extract("out0")[1]))
        return np.stack(found)

    return run


def by_ncnn_packed(path: Path, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """Of a single layer for one image: from and to maps in its own layout, as inside a network."""
    import ncnn

    net, image = ncnn_net(path, threads), ncnn.Mat(x[0]).clone()

    def run() -> Any:
        extractor = net.create_extractor()
        extractor.input("in0", image)
        return extractor.extract("out0", 1)[1]

    image = ncnn.convert_packing(image, run().elempack)
    return run


def by_mnn(path: Path, x: np.ndarray, threads: int, forms: int | None = MNN_FASTEST) -> Callable[[], np.ndarray]:
    """In precision "high", by its own layout of a file converted once."""
    with quiet():
        import MNN

        made = path.with_suffix(".mnn")
        if not made.exists():
            convert([tool("mnnconvert"), "-f", "ONNX", "--modelFile", path.name, "--MNNModel", made.name, "--bizCode", "x"], path.parent)
        network = MNN.Interpreter(str(made))
        if forms is not None:
            network.setSessionHint(WINOGRAD_LEVEL, forms)
        session = network.createSession({"numThread": threads, "backend": "CPU", "precision": "high"})
        source, target = network.getSessionInput(session), network.getSessionOutput(session)
        network.resizeTensor(source, x.shape)
        network.resizeSession(session)
    given = MNN.Tensor(x.shape, MNN.Halide_Type_Float, x, MNN.Tensor_DimensionType_Caffe)
    shape = target.getShape()
    room = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32), MNN.Tensor_DimensionType_Caffe)

    def run() -> np.ndarray:
        source.copyFrom(given)
        network.runSession(session)
        target.copyToHostTensor(room)
        return room.getNumpyData()

    run.given = x  # its memory must live as long as the tensor over it
    return run


def by_mnn_exact(path: Path, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """With fewer forms of Winograd's algorithm, and exact ones."""
    return by_mnn(path, x, threads, MNN_EXACT)


def by_mnn_small(path: Path, x: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """With the form that takes the least memory, F(2, 3)."""
    return by_mnn(path, x, threads, MNN_SMALL)


ENGINES: dict[str, Engine] = {
    "ncnn": by_ncnn,
    "MNN": by_mnn,
    "MNN, exact": by_mnn_exact,
    "MNN, least memory": by_mnn_small,
    "OpenVINO": by_openvino,
    "OpenVINO bfloat16": by_openvino_bf16,
    "ONNX Runtime": by_onnx_runtime,
}


def tool(name: str) -> str:
    """A program that came with this Python's packages."""
    beside = [Path(sysconfig.get_path("scripts")) / name, Path(sys.executable).parent / name]
    return next((str(path) for path in beside if path.exists()), name)


def convert(command: list[str], folder: Path) -> None:
    """Run a program that converts a file, and keep its text for an error only."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RuntimeError(f"{Path(command[0]).name} is not installed") from None
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-200:]}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what a library written in C++ prints about itself."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)
