"""Models for other programs: ONNX files, BioImage.IO packages, and weights by the names that other libraries use."""

from neurenix.export.graph import Graph as Graph, Value as Value, rule as rule
from neurenix.export.onnx_file import check_onnx as check_onnx, onnx as onnx
