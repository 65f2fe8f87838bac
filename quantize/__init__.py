"""ONNX to smaller ONNX.

`quantization` is the whole way, `precisions` the table of what can be made, `targets` that of the
hardware. Nothing here judges masks against labels: that is `validate`.
"""

import export as export  # before onnxruntime: see there
