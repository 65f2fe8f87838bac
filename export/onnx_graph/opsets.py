"""Old operator sets to one that quantization can work with.

onnx's converter does most; what it gets wrong is put right here. The caller compares results.
"""

from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import ModelProto, helper

from export.common.errors import ArtifactError, first_line
from export.onnx_graph.graph import nodes_within, opset

MIN_OPSET = 17
"""Below this a file is converted: QDQ per channel and LayerNorm want newer operators."""
CONVERTED_OPSET = 18
_FIRST_WITH_MODES = 11
"""Resize had no coordinate mode before: it was what is called asymmetric since then."""


def converted(file: Path, model: ModelProto, to: int = CONVERTED_OPSET) -> ModelProto:
    """Return the model in a newer operator set; as it is from MIN_OPSET on.

    Raises ArtifactError where onnx has no conversion.
    """
    version = opset(model)
    if version >= min(MIN_OPSET, to):
        return model
    old = {
        name: node.op_type
        for node in nodes_within(model.graph)
        for name in node.output
        if node.op_type in ("Upsample", "Resize")
    }
    try:
        newer: ModelProto = onnx.version_converter.convert_version(model, to)
    except (RuntimeError, onnx.version_converter.ConvertError) as error:
        raise ArtifactError(
            f"{file}: opset {version} is below {MIN_OPSET} and cannot be converted "
            f"({first_line(error)}); export it again with opset {CONVERTED_OPSET}"
        ) from error
    if version < _FIRST_WITH_MODES <= to:
        for node in nodes_within(newer.graph):
            if node.op_type == "Resize" and node.output[0] in old:
                _keep_positions(node)
    return newer


def _keep_positions(resize: onnx.NodeProto) -> None:
    """Say what Upsample and the first Resize did (ONNX operators, Upsample-9 and Resize-10)."""
    kept = [
        a
        for a in resize.attribute
        if a.name not in ("coordinate_transformation_mode", "nearest_mode")
    ]
    del resize.attribute[:]
    resize.attribute.extend(kept)
    resize.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
    resize.attribute.append(helper.make_attribute("nearest_mode", "floor"))


def culprit(file: Path, model: ModelProto, alike: Callable[[ModelProto], bool]) -> str:
    """Name the operators that a conversion changes, by converting one version at a time.

    `alike` tells whether a converted model still gives the file's results.
    """
    before = opset(model)
    for version in range(before + 1, CONVERTED_OPSET + 1):
        if not alike(converted(file, model, version)):
            changed = sorted(
                {n.op_type for n in nodes_within(model.graph) if _changed(n.op_type, version)}
            )
            return f"{', '.join(changed) or 'an operator'} of opset {version - 1} to {version}"
    return f"an operator of opset {before} to {CONVERTED_OPSET}"


def _changed(operator: str, version: int) -> bool:
    """Whether a version of the standard operators redefines this one."""
    try:
        return bool(onnx.defs.get_schema(operator, version).since_version == version)
    except onnx.defs.SchemaError:
        return False
