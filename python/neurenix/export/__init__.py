"""Models for other programs: ONNX files, BioImage.IO packages, and weights by the names that other libraries use."""

from neurenix.export.bioimage import bioimageio as bioimageio
from neurenix.export.graph import Graph as Graph, Value as Value, rule as rule
from neurenix.export.networks import from_torch as from_torch
from neurenix.export.onnx_file import check_onnx as check_onnx, onnx as onnx
from neurenix.export.weights import load_torch as load_torch, safetensors as safetensors, to_torch as to_torch
