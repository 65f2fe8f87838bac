"""PyTorch to ONNX, and what both later stages share."""
