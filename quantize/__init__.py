"""ONNX to smaller ONNX."""
