"""Stream calibration images through the fp32 network and collect statistics of its tensors."""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper
from onnxruntime import ExecutionOrder, InferenceSession, SessionOptions
from threadpoolctl import threadpool_limits

from export.artifact.manifest import ImageRef, Manifest
from export.artifact.sample import Sample
from export.common.errors import CalibrationError
from export.common.heap import release_freed_memory
from export.common.progress import Progress, silent
from export.onnx_graph.graph import float_tensors, opset, with_input_shape
from export.ort.sessions import CPU, open_session, run, session_options, threads
from quantize.calibration.fusion import fusable, touch
from quantize.calibration.measurement import Joint, Measurement, join
from quantize.calibration.signs import nonnegative
from quantize.calibration.statistics import Statistic, Tensor, average

Found = TypeVar("Found")
Working = Mapping[str, Mapping[str, Statistic]]
"""Statistics by tensor and key."""
SHAPES = 4
"""Sessions kept for images of different shapes: which positions count is part of the graph."""

STREAMS = 2
"""Images computed at a time: reductions keep fewer cores busy than convolutions do."""
_LARGE = 100_000_000
"""Bytes of a network that is mostly convolutions, of which two images at a time are no faster."""

_TIDY = 16
"""Images after which freed memory is returned."""

_REDUCTIONS = ("ReduceMin", "ReduceMax", "ReduceMean")
_AXES_AS_INPUT = 18
"""The operator set from which reductions take their axes as an input."""


@dataclass(frozen=True)
class Probe:
    """A network whose outputs are the reductions of its tensors and nothing else.

    `means` names the output, by tensor, that is not finite if one of the tensor's values is not;
    `taken` says which outputs each statistic, by tensor and key, is to be updated with.
    """

    model: ModelProto
    means: Mapping[str, str]
    taken: Sequence[tuple[tuple[str, str], list[str]]]


def collect(
    measurements: Sequence[Measurement],
    manifest: Manifest,
    samples: Sequence[Sample],
    progress: Progress = silent,
) -> list[ImageRef]:
    """Update the statistics of all measurements with the activations of every sample.

    What several models compute alike is computed once. At most three images are held at a time and
    activations are reduced inside the graph, so memory grows neither with their number nor much
    beyond that of inference. Of a tensor's statistics with equal keys only one does the work.
    Returns the images in the order they came. Raises CalibrationError without samples, for a
    sample of another shape than the network takes, and for an activation that is not finite
    (naming tensor and image).
    """
    if not len(samples):
        raise CalibrationError("no calibration images; give --calibration with at least one")
    passes = join(measurements)
    for number, joint in enumerate(passes):
        shown = _part(progress, number, len(passes), len(samples))
        used = _pass(joint, manifest, samples, shown)
    return used


def _part(progress: Progress, number: int, parts: int, size: int) -> Progress:
    """Return what shows the progress of one of several parts."""
    return lambda done, total: progress(number * size + done, parts * size)


def _pass(
    joint: Joint, manifest: Manifest, samples: Sequence[Sample], progress: Progress
) -> list[ImageRef]:
    """Run a network over all samples and update its statistics."""
    working = by_key(joint)
    prober = Prober(joint.model, working, manifest)
    used = prober.take_in(working, samples, progress)
    prober.close()
    hand_out(joint, working)
    return used


def by_key(joint: Joint) -> Working:
    """Return of a tensor's statistics with equal keys the one that does the work."""
    return {
        tensor: {statistic.key: statistic for statistic in wanted}
        for tensor, wanted in joint.statistics.items()
    }


def hand_out(joint: Joint, working: Working) -> None:
    """Let all statistics know what those that did the work have seen."""
    for tensor, statistics in joint.statistics.items():
        for statistic in statistics:
            statistic.restore(working[tensor][statistic.key].state())


class Prober:
    """Sessions that reduce a network's tensors to what statistics take, one per shape of images.

    `wanted` says which statistics: others of the same keys may be given the values.
    """

    def __init__(
        self, model: ModelProto, wanted: Working, manifest: Manifest, streams: int | None = None
    ) -> None:
        self._model, self._wanted, self._manifest = model, wanted, manifest
        self._streams = streams or (STREAMS if model.ByteSize() < _LARGE else 1)
        self._batch = manifest.input.shape[0] or 1
        self._opened = lru_cache(SHAPES)(self._open)

    def take_in(
        self, working: Working, samples: Sequence[Sample], progress: Progress
    ) -> list[ImageRef]:
        """Update statistics with all samples, in order; return which they were."""
        first = samples[0]
        _check_shape(first, self._manifest)
        self._opened(first.image.shape)  # or both streams would open it
        ids: list[str] = []
        digests = bytearray()  # packed: an ImageRef each would be 600 bytes of memory an image
        with threadpool_limits(1, "blas"):  # the streams keep the other cores busy
            for sample, (probe, values) in _in_streams(self._measure, samples, self._streams):
                _update(sample, probe, values, working)
                ids.append(sample.id)
                digests += f"{sample.sha256}\n".encode()
                if len(ids) % _TIDY == 0:
                    release_freed_memory()
                progress(len(ids), len(samples))
        used = zip(ids, digests.decode().splitlines(), strict=True)
        return [ImageRef(id=id, sha256=sha256) for id, sha256 in used]

    def close(self) -> None:
        """Free the sessions."""
        self._opened.cache_clear()
        release_freed_memory()

    def _open(self, shape: tuple[int, ...]) -> tuple[Probe, InferenceSession]:
        probe = probe_graph(self._model, self._wanted, (self._batch, *shape[1:]))
        options = _low_memory_options(self._streams)
        session = open_session(probe.model.SerializeToString(), CPU, options)
        return replace(probe, model=ModelProto()), session  # the session has the weights now

    def _measure(self, sample: Sample) -> tuple[Probe, dict[str, Any]]:
        _check_shape(sample, self._manifest)
        probe, session = self._opened(sample.image.shape)
        outputs = [value.name for value in session.get_outputs()]
        results = run(session, np.repeat(sample.image, self._batch, axis=0), outputs)
        return probe, dict(zip(outputs, results, strict=True))


def _update(sample: Sample, probe: Probe, values: dict[str, Any], working: Working) -> None:
    """Update the statistics and take the values they have seen out of `values`."""
    for tensor, mean in probe.means.items():
        if not np.isfinite(values[mean]).all():
            raise CalibrationError(
                f"calibration image {sample.id}: tensor {tensor} is not finite in fp32; the "
                "network or the image is broken"
            )
    last = {name: index for index, (_, names) in enumerate(probe.taken) for name in names}
    for index, ((tensor, key), names) in enumerate(probe.taken):
        working[tensor][key].update(*(values[name] for name in names))
        for name in names:
            if last[name] == index:
                values.pop(name, None)  # the images behind this one need the memory


def probe_graph(
    model: ModelProto,
    statistics: Working,
    shape: tuple[int, ...],
) -> Probe:
    """Return the graph that measures `statistics` (by tensor and key) for input of `shape`.

    What may be fused is read too, so that no statistic depends on which others are collected.
    """
    shapes = float_tensors(with_input_shape(model, shape))
    probe = ModelProto()
    probe.CopyFrom(model)
    graph = probe.graph
    _give(graph, statistics)
    fused = [name for name in fusable(graph) if name in shapes and name not in statistics]
    touched = [touch(Tensor(name, shapes[name])) for name in fused]
    added: dict[str, NodeProto] = {}
    constants: dict[str, NDArray[Any]] = {}
    taken: list[tuple[tuple[str, str], list[str]]] = []
    means: dict[str, str] = {}
    positive = nonnegative(model)
    for name, wanted in statistics.items():
        tensor = Tensor(name, shapes.get(name, ()), signed=name not in positive)
        # unlike onnxruntime's ReduceMin and GlobalMaxPool this never loses a NaN
        mean = average(tensor)
        means[name] = mean.outputs[0]
        reductions = [s.reduction(tensor) for s in wanted.values()]
        for reduction in [mean, *reductions]:
            added |= {node.output[0]: node for node in reduction.nodes}
            constants |= reduction.constants
        taken += [((name, k), r.outputs) for k, r in zip(wanted, reductions, strict=True)]
    for reduction in touched:
        added |= {node.output[0]: node for node in reduction.nodes}
        constants |= reduction.constants
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
    version = opset(model)
    graph.node.extend(_for_opset(node, constants, version) for node in added.values())
    used = [names for _, names in taken] + [reduction.outputs for reduction in touched]
    _give(graph, {name for names in used for name in names} | set(means.values()))
    return Probe(probe, means, taken)


def _give(graph: GraphProto, outputs: Collection[str]) -> None:
    """Make tensors the outputs and remove the nodes they don't need, which would be run."""
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(outputs))
    needed = set(outputs)
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(NodeProto.FromString(node.SerializeToString()))
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _for_opset(node: NodeProto, constants: Mapping[str, NDArray[Any]], version: int) -> NodeProto:
    """Give reductions their axes as older operator sets want them: as an attribute."""
    if version >= _AXES_AS_INPUT or node.op_type not in _REDUCTIONS or len(node.input) < 2:
        return node
    older = NodeProto()
    older.CopyFrom(node)
    axes = constants[older.input.pop()].tolist()
    older.attribute.append(onnx.helper.make_attribute("axes", axes))
    return older


def _in_streams(
    measure: Callable[[Sample], Found], samples: Sequence[Sample], streams: int
) -> Iterator[tuple[Sample, Found]]:
    """Yield samples in order with what `measure` gives, while it works on the next ones."""
    waiting: deque[tuple[Sample, Future[Found]]] = deque()
    with ThreadPoolExecutor(streams) as pool:
        for sample in samples:
            waiting.append((sample, pool.submit(measure, sample)))
            if len(waiting) > streams:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()


def _low_memory_options(streams: int) -> SessionOptions:
    """Reduce each tensor as soon as it is there and free it, instead of keeping all."""
    options = session_options()
    options.execution_order = ExecutionOrder.PRIORITY_BASED
    options.enable_mem_pattern = False
    options.intra_op_num_threads = max(1, threads() // streams)
    return options


def _check_shape(sample: Sample, manifest: Manifest) -> None:
    wanted = manifest.input.shape[1:]
    shape = sample.image.shape
    fits = len(shape) == 4 and all(w in (None, f) for w, f in zip(wanted, shape[1:], strict=True))
    if not fits:
        raise CalibrationError(
            f"calibration image {sample.id}: shape {shape}, the network takes {wanted}"
        )
