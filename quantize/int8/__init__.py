"""fp32 to int8: the whole way in `int8`, and the table of steps that can be left out.

A step with an idea of its own has a folder of its own (`quantize.ranges`, `quantize.rounding`).
"""
