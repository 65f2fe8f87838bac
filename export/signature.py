"""Rewrites: give a third-party graph the names, size and outputs of an artifact."""

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from export.graph import infer_shapes


def rename(model: ModelProto, names: dict[str, str]) -> None:
    """Rename tensors; a tensor that already bears a wanted name steps aside."""
    aside = {new: f"{new}_inner" for old, new in names.items() if old != new}
    table = {**aside, **names}
    graph = model.graph
    for value in [*graph.input, *graph.output, *graph.value_info]:
        value.name = table.get(value.name, value.name)
    for tensor in graph.initializer:
        tensor.name = table.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [table.get(name, name) for name in node.input]
        node.output[:] = [table.get(name, name) for name in node.output]


def keep_outputs(model: ModelProto, kinds: list[str]) -> None:
    """Leave only the named outputs, in that order."""
    kept = {value.name: value for value in model.graph.output}
    ordered = [kept[kind] for kind in kinds]
    del model.graph.output[:]
    model.graph.output.extend(ordered)


def with_size(model: ModelProto, shape: tuple[int | None, ...]) -> ModelProto:
    """Fix height and width of the input; constants that were listed as inputs go."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for dim, value in zip(inputs[0].type.tensor_type.shape.dim, shape, strict=True):
        if value is not None:
            dim.Clear()
            dim.dim_value = value
    return infer_shapes(model, data_prop=True)


def resize_logits(
    model: ModelProto, found: tuple[int, ...], wanted: tuple[int | None, ...]
) -> None:
    """Append a bilinear, half-pixel Resize where the logits are smaller than the image."""
    if tuple(found) == tuple(wanted):
        return
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["logits_small" if n == "logits" else n for n in node.input]
        node.output[:] = ["logits_small" if n == "logits" else n for n in node.output]
    factors = np.array(
        [1, 1, *(_scale(f, w or 0) for w, f in zip(wanted, found, strict=True))], np.float32
    )
    graph.initializer.append(numpy_helper.from_array(factors, "logits_scales"))
    graph.node.append(
        helper.make_node(
            "Resize",
            ["logits_small", "", "logits_scales"],
            ["logits"],
            name="logits_resize",
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
    )


def _scale(source: int, target: int) -> np.float32:
    """Return the float32 nearest target / source for which floor(source * scale) is target."""
    scale = np.float32(target / source)
    while source * float(scale) < target:  # in float64, where it is not rounded up
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


def with_output_shapes(
    model: ModelProto, classes: int, shape: tuple[int | None, ...]
) -> ModelProto:
    """Declare full-size outputs: logits (N, classes, H, W), mask (N, H, W)."""
    for value in model.graph.output:
        full = (shape[0], classes, *shape[2:]) if value.name == "logits" else (shape[0], *shape[2:])
        declared = value.type.tensor_type.shape
        declared.Clear()
        for size in full:
            dim = declared.dim.add()
            if size is None:
                dim.dim_param = "batch"
            else:
                dim.dim_value = size
    return infer_shapes(model, data_prop=True)
