"""The quantized graph: which layers and tensors, Q/DQ pairs, biases, the mask head.

What the numbers should be is decided in `quantize.ranges` and `quantize.rounding`.
"""
