"""From an ONNX file to a .tflite with the same weights, scales and zero points, and how it is
run."""
