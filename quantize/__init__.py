"""ONNX to smaller ONNX.

`quantization` is what others call, `precisions` the table of what can be made, `making` how, from
top to bottom, `targets` the table of hardware, and `host` which of it this machine is. Nothing here
judges masks against labels: that is `validate`.
"""

import export as export  # before onnxruntime: see there
