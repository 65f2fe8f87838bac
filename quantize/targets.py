"""The hardware that files are made for, one preset each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from export.common.tables import known
from quantize.target import METHODS, OPERATORS, FloatPrecision, Integers, Target

_X86 = ("x86_64", "amd64")
ARM = ("aarch64", "arm64")
MOVES = ("DepthToSpace", "Reshape", "Slice", "Transpose")
"""They change where values are and not what they are: input and output have one scale."""
_FUSES = {
    "Conv": "QLinearConv",
    "Add": "QLinearAdd",
    "Concat": "QLinearConcat",
    "GlobalAveragePool": "QLinearGlobalAveragePool",
}


@dataclass(frozen=True)
class Cpu(Target):
    """x86 with VNNI (Intel since 2019, AMD since Zen 4), onnxruntime's CPU provider.

    Unsigned activations, because its x64 kernels take u8 x s8 only: signed ones leave a third
    of the convolutions in float. Resize stays in float, because the linear one has no int8
    kernel and Q/DQ around it would only round. Without VNNI the file is as accurate, but runs
    slower than fp32, as `export.ort.sessions` then asks onnxruntime for exact sums. Masks are
    interpolated only where the class changes: 1 to 2 ms instead of 6 to 8 (benchmarks/heads.py).
    Ranges of least square error agreed better with fp32 than percentiles on all of the two
    DeepLabs, TensorFlow's and ESPNetv2.
    """

    hardware: str = "x86 with VNNI"
    machines: tuple[str, ...] = _X86
    runtime: str | None = "ort-cpu"
    fuses: Mapping[str, str] = field(default_factory=_FUSES.copy)
    activation: Integers = "uint8"
    operators: tuple[str, ...] = (*OPERATORS, *MOVES)
    float_results: tuple[str, ...] = ("MatMul",)
    mask_head: str = "cells"
    lossless: tuple[str, ...] = ("merge-pixels", "skip-padding", "merge-groups")
    range: str = "mse"
    methods: tuple[str, ...] = (
        *METHODS, "convolve-before-resize", "hard-sigmoid", "gelu", "write-out-prelu",
    )  # fmt: skip


@dataclass(frozen=True)
class CpuAvx2(Cpu):
    """x86 without VNNI, where the sum of two u8 x s8 products saturates at 16 bits.

    `vpmaddubsw` adds neighbouring products in an int16. With weights of 8 bits it reaches
    2 * 255 * 127 = 64770, far above 32767; with 7 bits 2 * 255 * 63 = 32130, which fits.
    The lost bit costs 3 to 5 dB of SQNR in the logits.
    """

    hardware: str = "x86 without VNNI"
    weight_max: int = 63


@dataclass(frozen=True)
class Arm(Cpu):
    """64-bit ARM, onnxruntime's CPU provider: s8 x s8, which its kernels prefer to u8 x s8.

    As accurate as `cpu`. On x86 the same file would leave layers in float.
    """

    hardware: str = "64-bit ARM"
    machines: tuple[str, ...] = ARM
    activation: Integers = "int8"


@dataclass(frozen=True)
class OpenVino(Target):
    """OpenVINO's plugins for Intel CPUs and GPUs.

    Placed as NNCF's ONNX backend does it: a Q only before what its low-precision
    transformations compute in int8, biases in float32, which OpenVINO adds to the int32 sum.
    Its convolutions take one activation scale per tensor. With OpenVINO 2026.4 on x86 with
    VNNI all 59 convolutions of DeepLabV3-MobileNet run as u8 x s8 and the residual Adds inside
    them. Signed symmetric activations would run too, but lose 5 dB of SQNR; with residual-only
    Adds these would run on their own.

    Masks end in "cells", because its Resize and ArgMax over all pixels take 5 to 10 ms and
    "channels-last" thrice that (benchmarks/openvino_forms.py). Float layers are to be computed in
    float32, which a manifest records and `--runtime openvino` honours: bfloat16, OpenVINO's
    default where the CPU has it, is no faster then and changes 0.1 % of the pixels.
    """

    hardware: str = "OpenVINO"
    runtime: str | None = "openvino"
    operators: tuple[str, ...] = (
        "Conv", "Gemm", "MatMul", "Add", "Mul", "Concat", "GlobalAveragePool",
    )  # fmt: skip
    activation: Integers = "uint8"
    quantized_bias: bool = False
    quantized_outputs: bool = False
    mask_head: str = "cells-or-plain"
    methods: tuple[str, ...] = (*METHODS, "convolve-before-resize")
    inference_precision: FloatPrecision | None = "f32"


@dataclass(frozen=True)
class TensorRt(Target):
    """NVIDIA TensorRT with explicit quantization, which is symmetric throughout.

    Weights stay in float32 behind Q/DQ pairs and biases in float32, as TensorRT quantizes
    both itself; so the file is as large as fp32. A Q stands only before what reads int8, so
    that Conv+Relu and Conv+Add(+Relu) become one kernel each: it fuses the Add into the
    convolution whose result reaches it in float, and takes the other, residual input in
    int8. MaxPool and Concat pass int8 on by themselves; Resize stays in float. Source:
    TensorRT's notes on Q/DQ placement and the defaults of NVIDIA's ModelOpt. A sign bit that
    ReLU does not use costs half of its levels.
    """

    hardware: str = "NVIDIA TensorRT"
    operators: tuple[str, ...] = ("Conv", "Gemm", "MatMul", "Add", "GlobalAveragePool")
    symmetric: bool = True
    float_weights: bool = True
    quantized_bias: bool = False
    quantized_outputs: bool = False
    residual_only: bool = True


@dataclass(frozen=True)
class Npu(Target):
    """Fixed-function accelerators, such as the VACC of the published table.

    They have one multiplier per tensor and no zero points, and no float unit to fall back
    on: weights per tensor, everything symmetric, Resize quantized too; only the graph's
    output is float32. Relu and Clip are part of the convolution before them. Some scale by
    shifting alone; `power_of_two` gives them that, at the cost of up to one bit. Without
    preparing the network (equalization) this loses 15 to 20 points of mIoU on MobileNets.
    """

    hardware: str = "fixed-function accelerators"
    operators: tuple[str, ...] = (*OPERATORS, *MOVES, "PRelu", "Resize")
    symmetric: bool = True
    per_channel: bool = False
    everything: bool = True
    methods: tuple[str, ...] = (
        "simplify-pooling", "sub-pixel-conv", "hard-sigmoid", "repair-dead-channels",
        "convolve-batch-norm", "equalize", "gptq",
    )  # fmt: skip


@dataclass(frozen=True)
class Qnn(Target):
    """Qualcomm's Hexagon NPUs through onnxruntime's QNN provider or Qualcomm's converter: A8W8.

    The rules are those that onnxruntime's `get_qnn_qdq_config` sets: unsigned activations with a
    zero point, signed symmetric weights with a scale per output channel, but one for a MatMul's;
    every operator between Q and DQ, as the NPU has no float32 unit, so those that only move
    values and Resize too; no range narrower than 0.0001. Not run on such hardware here.
    """

    hardware: str = "Qualcomm NPUs (QNN)"
    note: str = "8-bit activations"
    operators: tuple[str, ...] = (*OPERATORS, *MOVES, "PRelu", "Resize")
    activation: Integers = "uint8"
    one_scale: tuple[str, ...] = ("MatMul",)
    everything: bool = True
    range: str = "mse"
    options: Mapping[str, Any] = field(
        default_factory=lambda: {"MinimumRealRange": 0.0001, "DedicatedQDQPair": False}
    )
    methods: tuple[str, ...] = (*METHODS, "hard-sigmoid", "convolve-batch-norm")


@dataclass(frozen=True)
class Qnn16(Qnn):
    """The same with 16-bit activations: A16W8, slower on the NPU and nearly as exact as fp32.

    Standard operators take 16-bit integers from opset 21 on. QNN wants 1/65536 and 0 for what a
    Sigmoid gives. Ranges reach twice as far as the extremes: of 65535 steps half are to spare, and
    values that calibration did not see lose nothing at the ends. So what is lost is lost in the
    weights, which equalization makes alike: the activations that it widens for that have steps to
    spare. A search gives 16-bit weights to those that lose most, which QNN's convolutions take on
    the device, and not in its emulator: onnxruntime's tests of its provider run such
    (ConvU16S16S32) on Windows and Android alone.
    """

    note: str = "16-bit activations"
    activation: Integers = "uint16"
    fixed: Mapping[str, tuple[float, int]] = field(
        default_factory=lambda: {"Sigmoid": (1 / 65536, 0)}
    )
    opset: int = 21
    wide_weight: Literal["int16"] | None = "int16"
    range: str = "minmax:2"
    methods: tuple[str, ...] = (
        *(one for one in METHODS if one != "gptq"), "hard-sigmoid", "convolve-batch-norm",
        "equalize", "gptq",
    )  # fmt: skip


@dataclass(frozen=True)
class LiteRt(Target):
    """LiteRT, formerly TensorFlow Lite: what `segport convert --to litert` makes a .tflite of.

    The rules are those of its quantization specification
    (https://ai.google.dev/edge/litert/models/quantization_spec): signed activations with a zero
    point, signed symmetric weights with a scale per output channel, int32 biases, 1/256 and -128
    for what a Sigmoid gives. A fully connected layer has one scale for its weights, which is what
    all releases of LiteRT compute. Run in its interpreter on a CPU; on no device.
    """

    hardware: str = "LiteRT (TensorFlow Lite)"
    operators: tuple[str, ...] = (*OPERATORS, *MOVES, "PRelu", "Resize")
    one_scale: tuple[str, ...] = ("Gemm", "MatMul")
    fixed: Mapping[str, tuple[float, int]] = field(
        default_factory=lambda: {"Sigmoid": (1 / 256, -128)}
    )
    everything: bool = True
    range: str = "mse"
    methods: tuple[str, ...] = (*METHODS, "hard-sigmoid", "convolve-batch-norm")


TARGETS: dict[str, Target] = {
    "cpu": Cpu(kernels="vnni"),
    "cpu-avx2": CpuAvx2(kernels="avx2"),
    "arm": Arm(),
    "openvino": OpenVino(),
    "tensorrt": TensorRt(),
    "npu": Npu(),
    "npu-pow2": Npu(hardware="fixed-function accelerators that shift", power_of_two=True),
    "qnn": Qnn(),
    "qnn-a16w8": Qnn16(),
    "litert": LiteRt(),
    # what quantizers do by default; it usually loses far more
    "per-tensor": Cpu(
        note="one scale per weight tensor, rounded to nearest",
        per_channel=False,
        range="minmax",
        methods=("fold-clip",),
    ),
}


def get_target(name: str) -> Target:
    """Return a target; raise UsageError, with the nearest name, when there is none."""
    return known("target", name, TARGETS)
