"""Two files of the npm package onnxruntime-web, unchanged; `segport serve` gives them to a browser."""
