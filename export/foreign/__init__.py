"""ONNX files that somebody else wrote: how they take pictures and what they give.

The whole way is `export.onnx_import`; a look without importing is `preview`.
"""
