"""PyTorch or a third-party ONNX file to an artifact, and what both later stages share.

The two ways in are `onnx_export` and `onnx_import`. Nothing here knows of quantization or
validation.

onnxruntime's wheels report to their maker: a device id and an event store in the home folder, and
a look-up of a host. It reads this variable while it is imported and never again
(`disable_telemetry_events` stops none of it), so the packages that use it import this one first.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
