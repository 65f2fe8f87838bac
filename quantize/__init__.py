"""ONNX to smaller ONNX.

`quantization` is the whole way, `precisions` the table of what can be made, by `making`, `targets`
that of the hardware. Nothing here judges masks against labels: that is `validate`.
"""

import export as export  # before onnxruntime: see there
