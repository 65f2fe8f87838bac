"""Give a third-party fp32 ONNX network the manifest every later stage needs."""

from math import isfinite
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, ValueInfoProto

from export.artifact import (
    INPUT_NAME,
    MIN_SIZE,
    Artifact,
    InputSpec,
    Manifest,
    Weights,
    artifact_name,
    output_spec,
    write_artifact,
)
from export.classes import palette, read_classes
from export.errors import ArtifactError, UsageError, first_line
from export.escaping import visible
from export.files import check_writable, sha256_of
from export.graph import dims, infer_shapes, normalise, opset, with_input_shape
from export.image import normalised, synthetic_images
from export.onnx_cost import graph_cost
from export.parity import Outputs, measure_parity, require_parity
from export.pooling import pool_means
from export.sessions import named_outputs, open_session, run
from export.signature import (
    keep_outputs,
    rename,
    resize_logits,
    with_output_shapes,
    with_size,
)
from export.simplify import simplify
from export.versions import versions

MIN_OPSET = 17
"""Below this the file is converted: QDQ per channel and LayerNorm want newer operators."""
_CONVERTED_OPSET = 18
_CHECK_IMAGES = 2
_ALREADY_SMALL = frozenset({"QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger"})

Triple = tuple[float, float, float]


def import_model(
    file: Path,
    folder: Path,
    *,
    mean: Triple | None,
    std: Triple | None,
    size: tuple[int, int] | None = None,
    classes: str = "voc",
    name: str | None = None,
) -> Artifact:
    """Turn `file` into a verified fp32 artifact in `folder`.

    The network must take one float32 RGB tensor (N, 3, H, W) and give float32 logits
    (N, classes, h, w), which are resized to H x W where smaller, or an integer mask
    (N, H, W). `mean` and `std`, in 0-1 units, cannot be read from a file and must be given;
    `size` must be where the file leaves height or width free. Raises UsageError for what is
    missing, ArtifactError for a file that is no such network. Nothing is written then.
    """
    if mean is None or std is None:
        missing = "--mean" if mean is None else "--std"
        raise UsageError(
            f"import: {missing} R G B is needed, the file does not say how its input is normalised"
        )
    if not all(isfinite(value) and value > 0 for value in std):
        raise UsageError(f"import: --std {' '.join(map(str, std))}: values must be positive")
    if not all(map(isfinite, mean)):
        raise UsageError(f"import: --mean {' '.join(map(str, mean))}: values must be finite")
    check_writable(folder)
    class_names = read_classes(classes)
    base_name = artifact_name(name or file.stem)
    model = _read(file)
    source, chosen = _signature(file, model, len(class_names))
    shape = _fix_size(file, source, size)
    original = model.SerializeToString()
    probes = _probes(original, source, chosen, shape, (mean, std))
    _check_outputs(file, chosen, probes[0], len(class_names), shape)

    model = _to_opset(file, model)
    kinds = {value.name: kind for kind, value in chosen.items()}
    rename(model, {source.name: INPUT_NAME} | kinds)
    keep_outputs(model, list(chosen))
    model = with_size(model, shape)
    model = normalise(model)
    pools = pool_means(model)
    model, simplifier = simplify(normalise(model), probes)
    model = normalise(model)
    session = open_session(model.SerializeToString())
    parity = measure_parity((p, named_outputs(session, p[INPUT_NAME])) for p in probes)
    require_parity(parity, f"{file.name}: original against imported")
    if "logits" in chosen:
        resize_logits(model, probes[0]["logits"].shape[2:], shape[2:])
    model = with_output_shapes(model, len(class_names), shape)
    onnx.checker.check_model(model, full_check=True)

    height, width = shape[2], shape[3]
    assert height is not None and width is not None
    cost = graph_cost(with_input_shape(model, (1, 3, height, width)))
    manifest = Manifest(
        name=base_name,
        model=visible(file.name),
        output_stride=None,
        weights=Weights(how="import", file=file.name, sha256=sha256_of(file)),
        precision="fp32",
        input=InputSpec(shape=shape, mean=mean, std=std),
        outputs=tuple(output_spec(value) for value in model.graph.output),
        classes=tuple(class_names),
        palette=tuple(palette(len(class_names))),
        opset=opset(model),
        ir_version=model.ir_version,
        params=None,
        macs=cost.macs,
        macs_shape=(3, height, width),
        uncounted=cost.uncounted,
        flops_published=None,
        settings={"size": size},
        checks={
            "parity": parity.as_dict() | {"on": "synthetic images"},
            "onnxsim": simplifier,
            "global_average_pools": pools,
        },
        versions=versions(),
    )
    return write_artifact(model.SerializeToString(deterministic=True), manifest, folder)


def _read(file: Path) -> ModelProto:
    if not file.is_file():
        raise ArtifactError(f"{file}: no such file")
    try:
        model = onnx.load(file)
        onnx.checker.check_model(model)
        model = infer_shapes(model, data_prop=True)
    except (
        DecodeError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        ValueError,
        OSError,
    ) as error:
        raise ArtifactError(f"{file}: not a valid ONNX model ({first_line(error)})") from error
    if not model.graph.node:
        raise ArtifactError(f"{file}: not a valid ONNX model (no nodes in it)")
    small = sorted({n.op_type for n in model.graph.node} & _ALREADY_SMALL)
    if small:
        raise ArtifactError(f"{file}: already quantized ({small[0]}); import its fp32 original")
    if any(t.data_type == TensorProto.FLOAT16 for t in model.graph.initializer):
        raise ArtifactError(f"{file}: holds float16 weights; import its fp32 original")
    return model


def _signature(
    file: Path, model: ModelProto, classes: int
) -> tuple[ValueInfoProto, dict[str, ValueInfoProto]]:
    """Return the image input and the outputs to keep, by kind."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    described = [f"{v.name} {dims(v)}" for v in inputs]
    if len(inputs) != 1 or not _is_image(inputs[0]):
        raise ArtifactError(
            f"{file}: inputs are {', '.join(described)}; needed is one float32 (N, 3, H, W)"
        )
    logits = [v for v in model.graph.output if _is_float(v) and len(dims(v)) == 4]
    masks = [v for v in model.graph.output if not _is_float(v) and len(dims(v)) == 3]
    chosen = {}
    if logits:
        found = dims(logits[0])[1]
        if found is not None and found != classes:
            raise _wrong_classes(file, logits[0].name, found, classes)
        chosen["logits"] = logits[0]
    if masks:
        chosen["mask"] = masks[0]
    if not chosen:
        names = ", ".join(f"{v.name} {dims(v)}" for v in model.graph.output)
        raise ArtifactError(
            f"{file}: outputs are {names}; needed are float32 logits (N, classes, h, w) or an "
            "integer mask (N, H, W)"
        )
    return inputs[0], chosen


def _wrong_classes(file: Path, output: str, found: int, wanted: int) -> ArtifactError:
    return ArtifactError(
        f"{file}: output {output} has {found} channels, the class list has {wanted} names; give "
        "the right ones with --classes FILE"
    )


def _is_float(value: ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT)


def _is_image(value: ValueInfoProto) -> bool:
    shape = dims(value)
    return _is_float(value) and len(shape) == 4 and shape[1] in (3, None)


def _fix_size(
    file: Path, source: ValueInfoProto, size: tuple[int, int] | None
) -> tuple[int | None, int, int | None, int | None]:
    batch, _, height, width = dims(source)
    if size is None and (height is None or width is None):
        raise UsageError(
            f"import: --size H W is needed, {file.name} leaves its input's height and width free"
        )
    if size is not None and min(size) < MIN_SIZE:
        raise UsageError(f"size {size[0]} {size[1]}: both must be at least {MIN_SIZE} pixels")
    wanted = size or (height, width)
    if height not in (None, wanted[0]) or width not in (None, wanted[1]):
        raise UsageError(
            f"import: --size {wanted[0]} {wanted[1]}, but {file.name} is fixed to {height} {width}"
        )
    return batch or None, 3, wanted[0], wanted[1]


def _probes(
    original: bytes,
    source: ValueInfoProto,
    chosen: dict[str, ValueInfoProto],
    shape: tuple[int | None, ...],
    normalisation: tuple[Triple, Triple],
) -> list[Outputs]:
    """Run the untouched file on seeded images; return inputs and outputs by kind."""
    session = open_session(original)
    names = [value.name for value in chosen.values()]
    found = []
    for picture in synthetic_images(_CHECK_IMAGES, (shape[2] or 0, shape[3] or 0)):
        image = np.repeat(normalised(picture, *normalisation), shape[0] or 1, axis=0)
        outputs = dict(zip(chosen, run(session, image, names), strict=True))
        found.append({INPUT_NAME: image} | outputs)
    return found


def _check_outputs(
    file: Path,
    chosen: dict[str, ValueInfoProto],
    found: Outputs,
    classes: int,
    shape: tuple[int | None, ...],
) -> None:
    """Check what the file really gives: it need not declare its output shapes."""
    if "logits" in found and found["logits"].shape[1] != classes:
        channels = found["logits"].shape[1]
        raise _wrong_classes(file, chosen["logits"].name, channels, classes)
    if "mask" in found and found["mask"].shape[1:] != shape[2:]:
        height, width = found["mask"].shape[1:]
        raise ArtifactError(
            f"{file}: its mask is {height}x{width}, the image {shape[2]}x{shape[3]}; they must be "
            "of one size"
        )


def _to_opset(file: Path, model: ModelProto) -> ModelProto:
    if opset(model) >= MIN_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, _CONVERTED_OPSET)
    except (RuntimeError, onnx.version_converter.ConvertError) as error:
        raise ArtifactError(
            f"{file}: opset {opset(model)} is below {MIN_OPSET} and cannot be converted "
            f"({first_line(error)}); export it again with opset {_CONVERTED_OPSET}"
        ) from error
