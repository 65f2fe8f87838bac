"""Files for runtimes that read no ONNX, each run against onnxruntime before it is kept; nothing
that changes what a network computes, which is `quantize`."""
