"""What onnxruntime's profiler recorded: the kernels of a session, and how long each took."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.onnx_graph.onnx_cost import INT8_OPS

_TIME = "_kernel_time"
_RUN = "model_run"
_BYTES = ("uint8", "int8")
_STANDING = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
"""They give the memory that they read another shape."""
_SELECTING = ("Slice", "Split", "Gather")
"""They read of their input what they give."""
CONVERSION = "conversion"
"""The kind of kernels that only change a tensor's type."""
_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear", "Cast")


@dataclass(frozen=True)
class Kernel:
    """A node of the optimized graph; `ms` is its mean time in the runs that were kept.

    `kind` is "int8" for kernels that read 8-bit tensors, "conversion" for those that only change a
    tensor's type, else the type of the first input, such as "float". `output` is the shape of
    the first output. `bytes` are those of the activations it reads and writes, weights apart.
    """

    name: str
    operator: str
    kind: str
    output: tuple[int, ...]
    ms: float
    bytes: int


@dataclass(frozen=True)
class Recording:
    """The kernels in the order they ran; `session_ms` is the mean time of the same runs."""

    kernels: tuple[Kernel, ...]
    session_ms: float


def read_recording(file: Path, warm_up: int) -> Recording:
    """Read the profiler's events of several equal runs, leaving out the first `warm_up`.

    Times are means over the middle half of the rest, by the session's time: robust like a median
    against disturbed runs and, unlike medians, the kernels' times still add up.
    """
    events = json.loads(file.read_text(encoding="utf-8"))
    runs = [event for event in events if event["name"] == _RUN][warm_up:]
    kept = middle_half([run["dur"] for run in runs])
    nodes = [event for event in events if event["cat"] == "Node" and _is_kernel(event)]
    total: dict[tuple[int, str], float] = {}
    seen: dict[tuple[int, str], Mapping[str, Any]] = {}
    for run in (runs[at] for at in kept):
        for event in nodes:
            if run["ts"] <= event["ts"] < run["ts"] + run["dur"]:
                key = (int(event["args"]["node_index"]), event["name"])
                seen.setdefault(key, event)
                total[key] = total.get(key, 0.0) + event["dur"] / 1000
    kernels = tuple(_kernel(event, total[key] / len(kept)) for key, event in seen.items())
    return Recording(kernels, sum(runs[at]["dur"] for at in kept) / 1000 / len(kept))


def middle_half(times: Sequence[float]) -> list[int]:
    """Return the indices of the middle half of `times` by size, at least one."""
    order = sorted(range(len(times)), key=times.__getitem__)
    cut = len(order) // 4
    return order[cut : len(order) - cut]


def _is_kernel(event: Mapping[str, Any]) -> bool:
    return str(event["name"]).endswith(_TIME) and "node_index" in event["args"]


def _kernel(event: Mapping[str, Any], ms: float) -> Kernel:
    facts = event["args"]
    outputs = [tuple(shape) for output in facts["output_type_shape"] for shape in output.values()]
    return Kernel(
        name=str(event["name"]).removesuffix(_TIME),
        operator=facts["op_name"],
        kind=_kind(facts["op_name"], facts["input_type_shape"]),
        output=outputs[0] if outputs else (),
        ms=ms,
        bytes=_moved(facts),
    )


def _moved(facts: Mapping[str, Any]) -> int:
    read, written = (int(facts.get(f"{what}_size", 0)) for what in ("activation", "output"))
    if facts["op_name"] in _STANDING:
        return 0
    return 2 * written if facts["op_name"] in _SELECTING else read + written


def _kind(operator: str, inputs: Sequence[Mapping[str, Any]]) -> str:
    if operator in _CONVERSIONS:
        return CONVERSION
    first = next(iter(inputs[0]), "") if inputs else ""
    if operator in INT8_OPS or operator.startswith("QLinear") or first in _BYTES:
        return "int8"
    return first
