"""What a file can be made for: how some hardware wants its Q/DQ graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from export.mask_head.names import PLAIN
from quantize.ranges.table import DEFAULT_RANGE

FloatPrecision = Literal["f32", "bf16", "f16"]
"""What a runtime computes float layers in, as OpenVINO's INFERENCE_PRECISION_HINT names it."""

Integers = Literal["int8", "uint8", "int16", "uint16"]
"""A type of integers, as numpy names it."""

OPERATORS = (
    "Conv", "Gemm", "MatMul", "Add", "Mul", "Concat", "GlobalAveragePool", "AveragePool",
    "MaxPool", "Relu", "Clip", "LeakyRelu", "Sigmoid",
)  # fmt: skip
_INT16 = 2**15 - 1
MIN_OPSET = 17
"""Q/DQ with a scale per channel, which all runtimes in use read."""
METHODS = ("simplify-pooling", "sub-pixel-conv", "repair-dead-channels", "fold-clip", "gptq")


@dataclass(frozen=True)
class Target:
    """How some hardware wants its QDQ graph; each child is a preset.

    `note` says what else sets the preset apart. `machines` are those (as `platform.machine` names
    them) on which onnxruntime's CPU provider runs the file in int8; empty when the hardware has a
    runtime of its own. `runtime` is the one of `validate.runtime.table` that a machine of that kind
    can time it on. Of `operators`, which are quantized, `fuses` says which must become which
    int8 operator in onnxruntime's optimized graph there, so that int8 is really what runs.

    Activations have one scale per tensor; `symmetric` makes their zero point 0. Weights have
    zero point 0 and integers of at most `weight_max` in magnitude, with one scale per output
    channel if `per_channel`, but for the operators of `one_scale`. A layer that a search spares
    becomes float, or with `wide_weight` gets weights of that type. Results of the operators in
    `fixed` have the scale and zero point given there. `opset` is the first that the file may have.
    `power_of_two` rounds all scales up, so that nothing saturates.
    `float_weights` keeps weights in float32 behind a Q/DQ pair, `quantized_bias` makes biases
    int32. Without `quantized_outputs` only what layers read gets a pair; `residual_only`
    leaves it out where an Add reads the convolution it can be fused with, `float_results` behind
    such layers that only float ones read. With `everything` layers are quantized too whose result
    only float layers read; with `kernels`, one of `quantize.partition.costs`, only those that take
    less time so. A file that gives a mask ends in `mask_head`, one of `export.mask_head.heads`.
    `inference_precision` is what its runtime is to compute float layers in, where it has a
    choice. `lossless` are rewrites of the finished file (see `quantize.lossless`). `options` are
    further ones of onnxruntime's quantizer. `range` and `methods` are the range rule and the steps
    (see `quantize.int8.methods`) that a user gets who names none.
    """

    hardware: str
    note: str = ""
    machines: tuple[str, ...] = ()
    runtime: str | None = None
    operators: tuple[str, ...] = OPERATORS
    fuses: Mapping[str, str] = field(default_factory=dict)
    activation: Integers = "int8"
    symmetric: bool = False
    weight: Integers = "int8"
    weight_max: int = 127
    wide_weight: Literal["int16"] | None = None
    per_channel: bool = True
    one_scale: tuple[str, ...] = ()
    fixed: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    opset: int = MIN_OPSET
    power_of_two: bool = False
    float_weights: bool = False
    quantized_bias: bool = True
    quantized_outputs: bool = True
    residual_only: bool = False
    float_results: tuple[str, ...] = ()
    everything: bool = False
    kernels: str | None = None
    mask_head: str = PLAIN
    inference_precision: FloatPrecision | None = None
    lossless: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    range: str = DEFAULT_RANGE
    methods: tuple[str, ...] = METHODS

    def has_channels(self, operator: str) -> bool:
        """Whether weights of an operator have one scale per output channel."""
        return self.per_channel and operator not in self.one_scale

    @property
    def spared(self) -> str:
        """What a search makes of layers that lose too much, in words."""
        return f"with {self.wide_weight} weights" if self.wide_weight else "in float"

    @property
    def reduced(self) -> str:
        """What it makes of the others."""
        return f"with {self.weight} weights" if self.wide_weight else "in int8"

    @property
    def widened(self) -> "Target":
        """The target with all weights of the wide type, as far as it has one."""
        return replace(self, weight=self.wide_weight or self.weight, weight_max=_INT16)

    @property
    def help(self) -> str:
        """What it is for, in one line."""
        return f"{self.hardware}{self.note and ', '}{self.note}"
