"""Third-party ONNX files: their input conventions and their outputs.

The whole way is `export.onnx_import`; a look without importing is `preview`.
"""
