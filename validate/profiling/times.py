"""What the layers of a file take, under onnxruntime's profiler and without any peaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from export.common.files import scratch_folder
from export.ort.sessions import CPU, open_session, run, session_options
from validate.profiling.kernels import CONVERSION, Kernel, read_recording
from validate.profiling.layers import Layers
from validate.speed.latency import WARM_UP

_OPTIMIZED = "optimized.onnx"
_REORDERING = ("ReorderInput", "ReorderOutput")
"""They reorder a tensor and compute no layer."""


@dataclass(frozen=True)
class Time:
    """A kernel's `ms`; `layer` and `operator` are the file's where known, else the kernel's own.

    `macs` are the layer's, `kind` is as in `validate.profiling.kernels.Kernel`.
    """

    layer: str
    operator: str
    kind: str
    ms: float
    macs: int


def kernel_times(
    files: Sequence[Path], image: NDArray[np.floating], rounds: int
) -> list[list[Time]]:
    """Return what each kernel of every file takes for `image`, the files interleaved."""
    with scratch_folder() as scratch:
        places = [Path(scratch, str(index)) for index in range(len(files))]
        sessions = [_profiled(file, place) for file, place in zip(files, places, strict=True)]
        for _ in range(WARM_UP + rounds):
            for session in sessions:
                run(session, image)
        times = []
        for file, place, session in zip(files, places, sessions, strict=True):
            recording = read_recording(Path(session.end_profiling()), WARM_UP)
            model = onnx.load(file)
            layers = Layers(model, onnx.load(place / _OPTIMIZED), image.shape)
            operators = {node.name: node.op_type for node in model.graph.node}
            times.append([_time(kernel, layers, operators) for kernel in recording.kernels])
    return times


def _profiled(file: Path, place: Path) -> InferenceSession:
    place.mkdir()
    options = session_options()
    options.enable_profiling = True
    options.profile_file_prefix = str(place / "profile")
    options.optimized_model_filepath = str(place / _OPTIMIZED)
    return open_session(file, CPU, options)


def _time(kernel: Kernel, layers: Layers, operators: Mapping[str, str]) -> Time:
    if kernel.kind == CONVERSION or kernel.operator in _REORDERING:
        return Time(kernel.name, kernel.operator, kernel.kind, kernel.ms, 0)
    layer = layers.layer(kernel) or kernel.name
    operator = operators.get(layer, kernel.operator)
    return Time(layer, operator, kernel.kind, kernel.ms, layers.macs_of(kernel))
