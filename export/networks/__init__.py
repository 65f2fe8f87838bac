"""Torch networks: the zoo, libraries' networks by name, checkpoints, costs.

`table` lists the names. Nothing here knows of ONNX.
"""
