"""Torch networks: the zoo, libraries' networks by name, checkpoints, costs.

Nothing here knows of ONNX.
"""
