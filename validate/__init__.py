"""ONNX to numbers, reports and verdicts: one folder per step, from data sets to the gate.

The whole way is `judging.comparison`.
"""

import export as export  # before onnxruntime: see there
