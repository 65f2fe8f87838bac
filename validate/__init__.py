"""ONNX to numbers, reports and verdicts."""
