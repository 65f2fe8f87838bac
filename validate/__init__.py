"""ONNX to numbers, reports and verdicts."""

import export as export  # before onnxruntime: see there
