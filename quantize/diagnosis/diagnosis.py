"""Compare two files of one network tensor by tensor and say where the error comes from."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import ModelProto

from export.artifact.artifact import Artifact
from export.artifact.diagnosis import Diagnosis
from export.artifact.sample import Sample
from export.common.errors import ComparisonError
from export.common.progress import Progress, silent
from export.onnx_graph.graph import float_tensors, infer_shapes, opset, with_input_shape
from export.ort.fp16_emulation import emulate_fp16
from export.ort.sessions import CPU, open_session, session_options
from quantize.diagnosis.errors import TensorError
from quantize.diagnosis.layers import layer_diagnoses
from quantize.diagnosis.points import ComparedPoint, TensorGroup, groups, points
from quantize.diagnosis.probe import FP32, LOCAL, ProbeScale, probe
from quantize.diagnosis.suspect import find_suspect
from quantize.diagnosis.weights import weight_errors
from quantize.graph.opsets import at_opset
from quantize.rewrites.channels import scalable_channels

MEMORY = 512 << 20
"""Bytes of activations held at a time; an image runs again for the tensors beyond."""


def diagnose(
    fp32: Artifact,
    other: Artifact,
    samples: Sequence[Sample],
    *,
    memory: int = MEMORY,
    progress: Progress = silent,
) -> Diagnosis:
    """Compare every float activation that `other` shares with `fp32` and name a suspect.

    `other` is an fp16 or int8 file made of `fp32`, or an fp32 file of the same network. fp16 is
    run with every float16 tensor really rounded. Graphs run unoptimised: optimization fuses
    layers and leaves no tensor to compare, and its integer kernels round ties differently.
    Memory depends neither on the number of images nor much on the network: at most `memory`
    bytes of activations leave the graph at a time. Raises ComparisonError for files that do not
    belong together, for no samples, and for a network that is not finite in fp32.
    """
    check_comparable(fp32, other)
    if not len(samples):
        raise ComparisonError("no images to compare on; give --data with at least one")
    left, right = onnx.load(fp32.path), onnx.load(other.path)
    if other.manifest.precision == "int8":
        left = at_opset(left, opset(right))  # as its quantization did
    rescaled = _rescaled(other, left)
    reweighted = facts.get("reweighted", []) if (facts := other.manifest.int8) else []
    weights = weight_errors(left, right, rescaled, reweighted)
    if other.manifest.precision == "fp16":
        right = emulate_fp16(right)
    tensor_groups = groups(right, left)
    if rescaled:
        _leave_out_batched(tensor_groups, left)
    compared = points(tensor_groups)
    _check_same_network(other, left, right, compared)
    batch = fp32.manifest.input.shape[0] or 1
    shape = (batch, *samples[0].image.shape[1:])
    model = probe(left, right, tensor_groups, rescaled)
    errors = {point.seen: TensorError() for point in compared}
    session = _session(model, compared)
    chunks = list(_chunks(compared, float_tensors(with_input_shape(left, shape)), memory))
    for done, sample in enumerate(samples, start=1):
        image = np.repeat(sample.image, batch, axis=0)
        for chunk in chunks:
            _compare(session, sample.id, image, chunk, errors, rescaled)
        progress(done, len(samples))
    layers = layer_diagnoses(compared, errors, weights)
    threshold, suspect = find_suspect(layers)
    return Diagnosis(
        reference=fp32.path.name,
        other=other.path.name,
        precision=other.manifest.precision,
        images=tuple(sample.id for sample in samples),
        threshold_db=threshold,
        suspect=suspect,
        layers=layers,
    )


def check_comparable(fp32: Artifact, other: Artifact) -> None:
    """Raise ComparisonError unless `other` was made of `fp32` or is another fp32 file of it."""
    left, right = fp32.manifest, other.manifest
    if left.precision != "fp32":
        raise ComparisonError(
            f"{fp32.path.name} is {left.precision}; give the fp32 file first, then what to diagnose"
        )
    if right.precision != "fp32" and right.parent_sha256 != left.sha256:
        raise ComparisonError(
            f"{other.path.name} was not made from {fp32.path.name}; give the fp32 file it was made "
            "from (its sha256 is parent_sha256 in the manifest)"
        )
    if left.input.shape != right.input.shape:
        raise ComparisonError(
            f"{fp32.path.name} takes {left.input.shape} and {other.path.name} {right.input.shape}; "
            "only files of one input shape can be compared"
        )


def _check_same_network(
    other: Artifact, left: ModelProto, right: ModelProto, compared: Sequence[ComparedPoint]
) -> None:
    problem = None
    if opset(left) != opset(right):
        problem = f"opset {opset(right)} instead of {opset(left)}"
    elif other.manifest.precision == "fp32":
        here, there = (float_tensors(infer_shapes(m)) for m in (left, right))
        strange = sorted(there.keys() - here.keys()) if here.keys() - there.keys() else []
        changed = [name for name in there if here.get(name, there[name]) != there[name]]
        if strange or changed:
            problem = f"its tensor {(strange or changed)[0]} is not one of fp32's"
    elif all(point.operator == "Input" for point in compared):
        problem = "none of its tensors has a name of fp32's"
    if problem:
        raise ComparisonError(
            f"{other.path.name} cannot be compared tensor by tensor: {problem}; export both files "
            "of one network in the same way"
        )


def _rescaled(other: Artifact, fp32: ModelProto) -> dict[str, ProbeScale]:
    recorded = facts.get("rescaled", {}) if (facts := other.manifest.int8) else {}
    shapes = float_tensors(infer_shapes(fp32))

    def channels(tensor: str, values: list[float]) -> NDArray[np.float32]:
        return np.asarray(values, np.float32).reshape(-1, *[1] * (len(shapes[tensor]) - 2))

    return {
        tensor: ProbeScale(
            channels(tensor, change["factor"]), channels(tensor, change.get("offset", [0.0]))
        )
        for tensor, change in recorded.items()
        if tensor in shapes
    }


def _leave_out_batched(tensor_groups: Sequence[TensorGroup], fp32: ModelProto) -> None:
    """Compare nothing where channels are part of the batch, as no factor is recorded of it."""
    batched = scalable_channels(infer_shapes(fp32)).batched
    for group in tensor_groups:
        if group.tensor in batched:
            group.tensor = None


def _session(model: ModelProto, compared: Sequence[ComparedPoint]) -> ort.InferenceSession:
    names = {name for point in compared for name in _names(point)}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(names))
    options = session_options()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return open_session(model.SerializeToString(), CPU, options)


def _names(point: ComparedPoint) -> tuple[str, str, str]:
    return FP32 + point.tensor, point.seen, LOCAL + point.seen


def _chunks(
    compared: Sequence[ComparedPoint], shapes: Mapping[str, tuple[int | None, ...]], memory: int
) -> Iterator[list[ComparedPoint]]:
    """Split the points so that their float32 arrays, three each, take at most `memory` bytes."""
    chunk: list[ComparedPoint] = []
    used = 0
    for point in compared:
        size = 3 * 4 * prod(length or 1 for length in shapes.get(point.tensor, ()))
        if chunk and used + size > memory:
            yield chunk
            chunk, used = [], 0
        chunk.append(point)
        used += size
    yield chunk


def _compare(
    session: ort.InferenceSession,
    sample_id: str,
    image: NDArray[np.float32],
    chunk: Sequence[ComparedPoint],
    errors: Mapping[str, TensorError],
    rescaled: Mapping[str, ProbeScale],
) -> None:
    wanted = sorted({name for point in chunk for name in _names(point)})
    options = ort.RunOptions()
    options.only_execute_path_to_fetches = True
    fed = {session.get_inputs()[0].name: image}
    fetched: Any = session.run(wanted, fed, options)
    values: dict[str, NDArray[Any]] = dict(zip(wanted, fetched, strict=True))
    for point in chunk:
        stored = exact = values[FP32 + point.tensor]
        if not np.isfinite(exact.sum()):
            raise ComparisonError(
                f"image {sample_id}: tensor {point.tensor} is not finite in fp32; the network or "
                "the image is broken"
            )
        seen, local = (values[name].astype(np.float32) for name in _names(point)[1:])
        if change := rescaled.get(point.tensor):
            stored = (exact - change.offset) / change.factor
            seen, local = (value * change.factor + change.offset for value in (seen, local))
        error = errors[point.seen]
        error.update(sample_id, exact, seen, local)
        if point.grid is not None:
            error.count_saturated(stored, point.grid)
        if point.half:
            error.count_float16_losses(exact, seen)
