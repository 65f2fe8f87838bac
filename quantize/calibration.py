"""Stream calibration images through the fp32 network and collect statistics of its tensors."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper
from onnxruntime import ExecutionOrder, InferenceSession, SessionOptions

from export.artifact import ImageRef, Manifest, Sample
from export.errors import CalibrationError
from export.graph import float_tensors, with_input_shape
from export.sessions import CPU, open_session, run, session_options
from quantize.statistics import Statistic, per_channel

Progress = Callable[[int, int], None]
Taken = list[tuple[Statistic, list[str]]]


def collect(
    model: ModelProto,
    manifest: Manifest,
    statistics: Mapping[str, Sequence[Statistic]],
    samples: Sequence[Sample],
    progress: Progress = lambda done, total: None,
) -> list[ImageRef]:
    """Update fresh `statistics` (by tensor name) with the activations of every sample.

    One image is held at a time and activations are reduced inside the graph, so memory grows
    neither with their number nor much beyond that of inference. Of a tensor's statistics with
    equal keys only one does the work. Returns the images in the order they came. Raises
    CalibrationError without samples, for a sample of another shape than the network takes,
    and for an activation that is not finite (naming tensor and image).
    """
    if not len(samples):
        raise CalibrationError("no calibration images; give --calibration with at least one")
    working = {tensor: _by_key(wanted) for tensor, wanted in statistics.items()}
    batch = manifest.input.shape[0] or 1
    session: InferenceSession | None = None
    used = []
    for done, sample in enumerate(samples, start=1):
        _check_shape(sample, manifest)
        fed = np.repeat(sample.image, batch, axis=0)
        if session is None:
            probe, sums, taken = probe_graph(model, working, fed.shape)
            session = open_session(probe.SerializeToString(), CPU, _frugal())
            outputs = [value.name for value in probe.graph.output]
        values = dict(zip(outputs, run(session, fed, outputs), strict=True))
        for tensor, total in sums.items():
            if not np.isfinite(values[total]).all():
                raise CalibrationError(
                    f"calibration image {sample.id}: tensor {tensor} is not finite in fp32; the "
                    "network or the image is broken"
                )
        for statistic, names in taken:
            statistic.update(*(values[name] for name in names))
        used.append(ImageRef(id=sample.id, sha256=sample.sha256))
        progress(done, len(samples))
    for tensor, wanted in statistics.items():
        for statistic in wanted:
            statistic.restore(working[tensor][statistic.key].state())
    return used


def probe_graph(
    model: ModelProto,
    statistics: Mapping[str, Mapping[str, Statistic]],
    shape: tuple[int, ...],
) -> tuple[ModelProto, dict[str, str], Taken]:
    """Return a graph whose outputs are the reductions of `statistics` (by tensor and key) alone.

    With it come each tensor's sum, which is not finite if a value is not, and who takes which
    of the other outputs. `shape` is that of the input.
    """
    shapes = float_tensors(with_input_shape(model, shape))
    probe = ModelProto()
    probe.CopyFrom(model)
    graph = probe.graph
    added: dict[str, NodeProto] = {}
    constants: dict[str, tuple[int, ...]] = {}
    taken: Taken = []
    sums: dict[str, str] = {}
    for tensor, wanted in statistics.items():
        # unlike onnxruntime's ReduceMin and ReduceMax this never loses a NaN
        total = per_channel("ReduceSum", tensor, shapes.get(tensor, ()))
        sums[tensor] = total.outputs[0]
        reductions = [s.reduction(tensor, shapes.get(tensor, ())) for s in wanted.values()]
        for reduction in [total, *reductions]:
            added |= {node.output[0]: node for node in reduction.nodes}
            constants |= reduction.constants
        taken += [(s, r.outputs) for s, r in zip(wanted.values(), reductions, strict=True)]
    for name, numbers in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(numbers, np.int64), name))
    graph.node.extend(added.values())
    outputs = {name for _, names in taken for name in names} | set(sums.values())
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(outputs))
    return probe, sums, taken


def _by_key(statistics: Sequence[Statistic]) -> dict[str, Statistic]:
    return {statistic.key: statistic for statistic in statistics}


def _frugal() -> SessionOptions:
    """Reduce each tensor as soon as it is there and free it, instead of keeping all."""
    options = session_options()
    options.execution_order = ExecutionOrder.PRIORITY_BASED
    options.enable_mem_pattern = False
    return options


def _check_shape(sample: Sample, manifest: Manifest) -> None:
    wanted = manifest.input.shape[1:]
    found = sample.image.shape
    fits = len(found) == 4 and all(w in (None, f) for w, f in zip(wanted, found[1:], strict=True))
    if not fits:
        raise CalibrationError(
            f"calibration image {sample.id}: shape {found}, the network takes {wanted}"
        )
