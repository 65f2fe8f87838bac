"""Faults that are planted into files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.artifact.artifact import Artifact, write_artifact

Array = NDArray[np.float32]
Change = Callable[[Array], Array]


def edited(artifact: Artifact, folder: Path, changes: dict[str, Change], **update: Any) -> Artifact:
    """Write a copy with constants changed and the manifest's fields updated."""
    model = onnx.load(artifact.path)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, change in changes.items():
        value = change(numpy_helper.to_array(constants[name]))
        constants[name].CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))
    manifest = artifact.manifest.model_copy(update=update)
    return write_artifact(model.SerializeToString(), manifest, folder)


def activation_scale(artifact: Artifact, layer: str) -> str:
    """The scale of the QuantizeLinear after a layer."""
    nodes = onnx.load(artifact.path).graph.node
    output = next((n.output[0] for n in nodes if n.name == layer), layer)
    return str(next(n.input[1] for n in nodes if n.op_type[0] == "Q" and n.input[0] == output))


def weight_names(artifact: Artifact, layer: str) -> list[str]:
    """Names of a layer's weight and, if it has one, bias: inputs, or what is dequantized to it."""
    nodes = onnx.load(artifact.path).graph.node
    scales = {n.output[0]: n.input[1] for n in nodes if n.op_type == "DequantizeLinear"}
    (found,) = [n for n in nodes if n.name == layer]
    return [scales.get(name, name) for name in found.input[1:3]]


def folded_again(channels: int) -> tuple[Change, Change]:
    """Multiply by gamma / sigma per output channel, and shift the bias, once more."""
    rng = np.random.default_rng(channels)
    factor = rng.uniform(0.4, 2.5, channels).astype(np.float32)
    shift = rng.normal(0, 0.2, channels).astype(np.float32)
    return lambda w: w * factor.reshape(-1, 1, 1, 1), lambda b: b * factor + shift


def fold_twice(fp32: Artifact, layer: str, folder: Path) -> Artifact:
    weight, *bias = weight_names(fp32, layer)
    sizes = {t.name: t.dims[0] for t in onnx.load(fp32.path).graph.initializer if t.dims}
    change, shift = folded_again(sizes[weight])
    return edited(fp32, folder, {weight: change} | dict.fromkeys(bias, shift))
