"""ONNX to smaller ONNX."""

import export as export  # before onnxruntime: see there
