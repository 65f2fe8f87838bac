"""Versions of Segport and of the packages a result depends on."""

from importlib.metadata import PackageNotFoundError, version
from platform import python_version

_PACKAGES = (
    "segport", "torch", "torchvision", "onnx", "onnxscript", "onnxsim", "onnxruntime-gpu",
    "onnxruntime", "openvino", "tensorrt", "numpy", "pillow",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return name and version of every installed package that can change a result."""
    installed = {"python": python_version()}
    for name in _PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed
