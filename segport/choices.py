"""Values of options that a shell can complete.

They repeat tables of modules that import torch or onnxruntime, for which nobody waits at a
prompt; tests/segport/test_completion.py holds them against those tables.
"""

from collections.abc import Callable

PRECISIONS = ("fp16", "int8")
TARGETS = (
    "cpu", "cpu-avx2", "arm", "openvino", "tensorrt", "npu", "npu-pow2", "per-tensor",
)  # fmt: skip
RANGE_RULES = ("minmax", "moving-average", "percentile", "entropy", "mse")
METHODS = (
    "simplify-pooling", "sub-pixel-conv", "gelu", "repair-dead-channels", "equalize",
    "absorb-bias", "convolve-before-resize", "hard-sigmoid", "write-out-prelu", "read-pixels",
    "fold-clip", "gptq", "adaround", "correct-bias",
)  # fmt: skip
IO_TYPES = ("fp32", "fp16")
PROTOCOLS = ("squash", "center-crop", "full", "torchvision")
RUNTIMES = (
    "ort-cpu", "ort-cuda", "ort-tensorrt", "ort-fp16", "openvino", "torch", "torch-cuda",
)  # fmt: skip
REPORT_FORMATS = ("md", "html")
OUTPUTS = ("logits", "mask", "both")
LAYOUTS = ("nchw", "nhwc")
CHANNELS = ("rgb", "bgr", "grey", "rgba", "bgra")
RANGES = ("0-1", "0-255")
KINDS = (
    "logits", "probabilities", "binary-logit", "binary-probability", "mask", "binary-mask",
)  # fmt: skip
BINARY_KINDS = ("binary-logit", "binary-probability")
LABEL_MAPS = (
    "indices", "voc", "binary", "cityscapes", "cityscapes-labelids", "cityscapes-trainids",
    "ade20k", "camvid",
)  # fmt: skip
ACCEPTED = ("white-is-void", "absent-class", "one-class", "mask-size")
OUTPUT_STRIDES = ("16", "8")


def one_of(values: tuple[str, ...]) -> Callable[[str], list[str]]:
    """Return what completes the beginning of one of `values`."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete
