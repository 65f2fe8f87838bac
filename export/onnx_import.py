"""Give a third-party float ONNX network the manifest every later stage needs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnx import ModelProto

from export.artifact.artifact import Artifact, artifact_name, write_artifact
from export.artifact.classes import palette, read_classes
from export.artifact.manifest import (
    INPUT_NAME,
    InputSpec,
    Manifest,
    SourceOutput,
    SourceSpec,
    Weights,
    output_spec,
)
from export.common.errors import ArtifactError, ExportError, SegportError, first_line
from export.common.escaping import visible
from export.common.files import check_writable, sha256_of
from export.common.versions import versions
from export.foreign.border import with_border
from export.foreign.onnx_source import OnnxSource, Size, SourceOptions, read_source
from export.foreign.output_view import OutputRequest
from export.foreign.signature import resize_logits, resize_mask, with_output_shapes
from export.foreign.view import MODES
from export.onnx_graph.graph import infer_shapes, normalise, opset, with_input_shape
from export.onnx_graph.onnx_cost import graph_cost
from export.onnx_graph.opsets import MIN_OPSET, converted, culprit
from export.onnx_graph.pooling import pool_means
from export.onnx_graph.single import HALVES
from export.ort.parity import (
    HALF,
    SINGLE,
    Outputs,
    Parity,
    ParityLimits,
    measure_parity,
    require_parity,
)
from export.ort.sessions import named_outputs, open_session
from export.simplify import simplify


def import_model(
    file: Path,
    folder: Path,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: Size = None,
    classes: str = "voc",
    name: str | None = None,
    layout: str | None = None,
    channels: str | None = None,
    range_: str | None = None,
    output_name: str | None = None,
    kind: str | None = None,
    threshold: float = 0.5,
) -> Artifact:
    """Turn `file` into a verified fp32 artifact in `folder`.

    The network takes one image tensor, float or uint8, (N, C, H, W) or (N, H, W, C) with 3, 1 or
    4 channels, and gives logits or probabilities of all classes, or of one against background, at
    any size, or a mask. `layout`, `channels`, `range_`, `output_name`, `kind` and `threshold`
    (see `export.foreign.view` and `export.artifact.scale`) say what the file does not show. `mean`
    and `std`, in the order of R G B, cannot be read from a file. `size` must be there where the
    file leaves height or width free; "dynamic" leaves them so. Raises UsageError for what is
    missing, ArtifactError for a file that is no such network or cannot be run, ExportError where
    the artifact would compute something else. Nothing is written then.
    """
    check_writable(folder)
    class_names = read_classes(classes, binary=True)
    base_name = artifact_name(name or file.stem)
    request = OutputRequest(output_name, kind, threshold)
    reading = SourceOptions(mean, std, size, layout, channels, range_, request)
    with _naming(file):
        source = read_source(file, len(class_names), reading)
        model, checks, parity = _model(source, len(class_names))
        cost = graph_cost(with_input_shape(model, (1, source.shape[1], *source.counted_at)))
    ones_mean, ones_std = source.scale.in_ones
    manifest = Manifest(
        name=base_name,
        model=visible(file.name),
        output_stride=None,
        weights=Weights(how="import", file=file.name, sha256=sha256_of(file)),
        precision="fp32",
        input=InputSpec(
            shape=source.shape, mean=ones_mean, std=ones_std, colour_order=MODES[source.shape[1]]
        ),
        outputs=tuple(output_spec(value) for value in model.graph.output),
        source=_described(source),
        classes=tuple(class_names),
        palette=tuple(palette(len(class_names))),
        opset=opset(model),
        ir_version=model.ir_version,
        params=None,
        macs=cost.macs,
        macs_shape=(source.shape[1], *source.counted_at),
        uncounted=cost.uncounted,
        flops_published=None,
        settings={"size": list(size) if isinstance(size, tuple) else size},
        checks={"parity": parity.as_dict() | {"on": "synthetic images"}, **checks},
        versions=versions(),
    )
    return write_artifact(model.SerializeToString(deterministic=True), manifest, folder)


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Say of which file it is what the libraries stumble over in it."""
    try:
        yield
    except SegportError:
        raise
    except Exception as error:  # onnx, onnx-ir and onnxruntime raise what a graph provokes
        raise ArtifactError(
            f"{file}: cannot be imported ({type(error).__name__}: {first_line(error)})"
        ) from error


def _model(source: OnnxSource, classes: int) -> tuple[ModelProto, dict[str, object], Parity]:
    """Return the artifact's graph, what was done to it, and how alike it is to the file."""
    limits = HALF if source.other_float in HALVES.values() else SINGLE
    newer = converted(source.file, source.model)
    model = _bordered(source, newer)
    pools = pool_means(model)
    model = normalise(model)
    own = _outputs(source, model)
    model, simplifier = simplify(model, own)
    model = normalise(model)
    parity = measure_parity(zip(source.probes, _outputs(source, model), strict=True))
    if parity.problem_within(limits) and newer is not source.model:
        _explain_difference(source, limits)
    require_parity(parity, f"{source.file.name}: original against imported", limits)
    if "logits" in own[0]:
        resize_logits(model, own[0]["logits"].shape[2:], source.shape[2:], source.counted_at)
    if "mask" in own[0]:
        resize_mask(model, own[0]["mask"].shape[1:], source.shape[2:], source.counted_at)
    model = normalise(with_output_shapes(model, classes, source.shape))
    onnx.checker.check_model(model, full_check=True)
    checks = {"onnxsim": simplifier, "global_average_pools": pools, "notes": _notes(source)}
    return model, checks, parity


def _bordered(source: OnnxSource, model: ModelProto) -> ModelProto:
    made = with_border(model, source.view, source.outputs, source.shape)
    return normalise(infer_shapes(made, data_prop=True))


def _outputs(source: OnnxSource, model: ModelProto) -> list[Outputs]:
    """Return the inputs of the probes, and what `model` gives for them."""
    session = open_session(model.SerializeToString(), name=str(source.file))
    images = [probe[INPUT_NAME] for probe in source.probes]
    return [{INPUT_NAME: image} | named_outputs(session, image) for image in images]


def _explain_difference(source: OnnxSource, limits: ParityLimits) -> None:
    """Raise ExportError that names the operators which a newer opset changes, if it does."""

    def alike(older: ModelProto) -> bool:
        outputs = _outputs(source, _bordered(source, older))
        return (
            measure_parity(zip(source.probes, outputs, strict=True)).problem_within(limits) is None
        )

    if alike(source.model):
        raise ExportError(
            f"{source.file}: converting it from opset {source.opset} changes its results "
            f"({culprit(source.file, source.model, alike)}); export it again with opset 18"
        )


def _described(source: OnnxSource) -> SourceSpec:
    view, scale = source.view, source.scale
    return SourceSpec(
        input=view.name,
        shape=view.shape,
        layout=view.layout,
        channels=view.channels,
        dtype=view.dtype,
        range=scale.range,
        mean=scale.mean,
        std=scale.std,
        outputs=tuple(
            SourceOutput(
                name=seen.name,
                kind=seen.kind,
                layout=seen.layout,
                threshold=seen.threshold if seen.binary else None,
            )
            for seen in source.outputs
        ),
        unused=source.unused,
        opset=source.opset,
    )


def _notes(source: OnnxSource) -> list[str]:
    """Return what was made of the file, a sentence each, where it is not what it was."""
    view, scale, notes = source.view, source.scale, []
    inside = {"bgr": "rgb", "bgra": "rgba"}.get(view.channels, view.channels)
    if (view.layout, view.channels, view.dtype) != ("nchw", inside, "float32"):
        notes.append(
            f"input {view.name} is {view.layout} {view.channels} {view.dtype}; the artifact's is "
            f"nchw {inside} float32"
        )
    if scale.range == "0-255":
        mean, std = (" ".join(f"{v:g}" for v in values) for values in scale.in_ones)
        notes.append(
            f"pictures go in as 0-255; mean {mean} and std {std} are the same in 0-1 units"
        )
    if source.other_float in HALVES.values():
        notes.append(
            f"its {source.other_float} weights are the same in float32, which computes finer"
        )
    elif source.other_float:
        notes.append(f"its {source.other_float} weights are rounded to float32")
    if source.opset < MIN_OPSET:
        notes.append(f"converted from opset {source.opset}, with the same results")
    for seen in source.outputs:
        if seen.binary:
            notes.append(
                f"output {seen.name} is a {seen.kind}: background, and the class from a "
                f"probability of {seen.threshold:g} on"
            )
    if source.unused:
        notes.append(f"not used: output {', '.join(source.unused)}")
    return notes
