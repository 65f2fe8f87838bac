"""Hardware an int8 file is made for."""

from dataclasses import dataclass, field, replace

from onnxruntime.quantization import QuantType

from export.errors import UsageError, unknown


@dataclass(frozen=True)
class Target:
    """How a target wants its QDQ graph.

    `operators` are quantized; of these `fuses` says which must become which int8 operator in
    onnxruntime's optimized graph, so that int8 is really what runs. `unquantized` explains
    what stays in float on purpose.
    """

    activation: QuantType
    weight: QuantType
    per_channel: bool
    operators: tuple[str, ...]
    fuses: dict[str, str]
    options: dict[str, object] = field(default_factory=dict)


# x86 with VNNI, onnxruntime's CPU provider. Unsigned activations: its x64 kernels take
# u8 x s8 only, and signed activations leave a third of the convolutions in float. Resize
# stays in float: the linear one has no int8 kernel, so Q/DQ around it would only round.
_CPU = Target(
    activation=QuantType.QUInt8,
    weight=QuantType.QInt8,
    per_channel=True,
    operators=(
        "Conv", "Gemm", "MatMul", "Add", "Mul", "Concat", "GlobalAveragePool", "AveragePool",
        "MaxPool", "Relu", "Clip", "LeakyRelu", "Sigmoid",
    ),
    fuses={
        "Conv": "QLinearConv",
        "Add": "QLinearAdd",
        "Concat": "QLinearConcat",
        "GlobalAveragePool": "QLinearGlobalAveragePool",
    },
)  # fmt: skip

TARGETS: dict[str, Target] = {
    "cpu": _CPU,
    # One scale per weight tensor: what quantizers do by default and what some accelerators
    # insist on. It runs as fast as `cpu` there and usually loses far more.
    "per-tensor": replace(_CPU, per_channel=False),
}
DEFAULT_TARGET = "cpu"


def get_target(name: str) -> Target:
    """Return a target; raise UsageError, with the nearest name, when there is none."""
    if name not in TARGETS:
        raise UsageError(unknown("target", name, TARGETS))
    return TARGETS[name]
