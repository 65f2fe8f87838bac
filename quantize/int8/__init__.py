"""fp32 to int8: which layers, what is observed, the finished file, and the table of methods.

The whole way, top to bottom, is `quantize.making.Int8`.

A step with an idea of its own has a folder of its own (`quantize.ranges`, `quantize.rounding`).
"""
