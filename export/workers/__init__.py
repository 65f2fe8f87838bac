"""Independent pieces of work on an engine: this process, several of this machine, or Ray's cluster.

What the work is, whoever asks for it knows (`validate.counting`, `quantize.calibration`).
"""
