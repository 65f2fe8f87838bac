"""PyTorch to ONNX, and what both later stages share.

onnxruntime's wheels report to their maker: a device id and an event store in the home folder, and
a look-up of a host. It reads this variable while it is imported and never again
(`disable_telemetry_events` stops none of it), so the packages that use it import this one first.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
