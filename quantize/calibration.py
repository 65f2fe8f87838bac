"""Stream calibration images through the fp32 network and collect statistics of its tensors."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper
from onnxruntime import ExecutionOrder, InferenceSession, SessionOptions

from export.artifact import Manifest, Sample
from export.errors import CalibrationError
from export.graph import float_tensors, with_input_shape
from export.sessions import CPU, open_session, run, session_options
from quantize.statistics import Statistic, whole

Progress = Callable[[int, int], None]


def collect(
    model: ModelProto,
    manifest: Manifest,
    statistics: Mapping[str, Sequence[Statistic]],
    samples: Sequence[Sample],
    progress: Progress = lambda done, total: None,
) -> None:
    """Update `statistics` (by tensor name) with the activations of every sample.

    One image is held at a time and activations are reduced inside the graph, so memory grows
    neither with their number nor much beyond that of inference. Raises CalibrationError
    without samples, for a sample of another shape than the network takes, and for an
    activation that is not finite (naming tensor and image).
    """
    if not len(samples):
        raise CalibrationError("no calibration images; give --calibration with at least one")
    batch = manifest.input.shape[0] or 1
    session: InferenceSession | None = None
    for done, sample in enumerate(samples, start=1):
        _check_shape(sample, manifest)
        fed = np.repeat(sample.image, batch, axis=0)
        if session is None:
            probe, reductions = _reduced(model, statistics, fed.shape)
            session = open_session(probe.SerializeToString(), CPU, _frugal())
            outputs = [value.name for value in probe.graph.output]
        values = dict(zip(outputs, run(session, fed, outputs), strict=True))
        for name in statistics:
            if not np.isfinite(values[_finite(name)]):
                raise CalibrationError(
                    f"calibration image {sample.id}: tensor {name} is not finite in fp32; the "
                    "network or the image is broken"
                )
        for statistic, names in reductions:
            statistic.update(*(values[name] for name in names))
        progress(done, len(samples))


def _reduced(
    model: ModelProto, statistics: Mapping[str, Sequence[Statistic]], shape: tuple[int, ...]
) -> tuple[ModelProto, list[tuple[Statistic, list[str]]]]:
    """Return a graph that gives every statistic's reduction, and who takes which of them.

    The sum of magnitudes of each tensor is added too: unlike onnxruntime's ReduceMin and
    ReduceMax it never loses a NaN.
    """
    shaped = with_input_shape(model, shape)
    shapes = float_tensors(shaped)
    probe = ModelProto()
    probe.CopyFrom(model)
    graph = probe.graph
    added: dict[str, NodeProto] = {}
    constants: dict[str, tuple[int, ...]] = {}
    taken: list[tuple[Statistic, list[str]]] = []
    for tensor, wanted in statistics.items():
        added[_finite(tensor)] = whole("ReduceL1", tensor)
        for statistic in wanted:
            reduction = statistic.reduction(tensor, shapes.get(tensor, ()))
            added |= {node.output[0]: node for node in reduction.nodes}
            constants |= reduction.constants
            taken.append((statistic, reduction.outputs))
    for name, numbers in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(numbers, np.int64), name))
    graph.node.extend(added.values())
    outputs = {name for _, names in taken for name in names} | {_finite(t) for t in statistics}
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(outputs))
    return probe, taken


def _frugal() -> SessionOptions:
    """Reduce each tensor as soon as it is there and free it, instead of keeping all."""
    options = session_options()
    options.execution_order = ExecutionOrder.PRIORITY_BASED
    options.enable_mem_pattern = False
    return options


def _finite(tensor: str) -> str:
    return f"{tensor}::ReduceL1"


def _check_shape(sample: Sample, manifest: Manifest) -> None:
    wanted = manifest.input.shape[1:]
    found = sample.image.shape
    fits = len(found) == 4 and all(w in (None, f) for w, f in zip(wanted, found[1:], strict=True))
    if not fits:
        raise CalibrationError(
            f"calibration image {sample.id}: shape {found}, the network takes {wanted}"
        )
