"""ONNX graphs, read and tidied: helpers, costs, rewrites that keep the function.

No sessions and no artifacts: what runs a graph is in `export.ort`, what Segport knows of a file in
`export.artifact`.
"""
