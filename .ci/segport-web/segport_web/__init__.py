"""Two files of the npm package onnxruntime-web, unchanged, for `segport serve`."""
