"""Rewrites: give a third-party graph logits of the image's size, and an artifact's shapes."""

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from export.artifact import INPUT_NAME
from export.graph import infer_shapes, rename_reads

_SMALL = "logits_small"
_MASK_SIDES = ["batch", "height", "width"]


def resize_logits(
    model: ModelProto,
    found: Sequence[int],
    wanted: tuple[int | None, ...],
    image: Sequence[int] | None = None,
) -> None:
    """Append a bilinear, half-pixel Resize where the logits are smaller than the image.

    `found` is the (height, width) of the logits of an image of size `image`, by default `wanted`.
    Where `wanted` is null, any size, it is computed in the graph.
    """
    if tuple(found) == tuple(image or wanted):
        return
    graph = model.graph
    for node in graph.node:
        rename_reads(node, {"logits": _SMALL})
        node.output[:] = [_SMALL if n == "logits" else n for n in node.output]
    height, width = wanted
    if height is None or width is None:
        graph.node.extend(_computed_sizes())
        sizes = ["", "", "logits_sizes"]
    else:
        factors = [1, 1, _scale(found[0], height), _scale(found[1], width)]
        scales = np.array(factors, np.float32)
        graph.initializer.append(numpy_helper.from_array(scales, "logits_scales"))
        sizes = ["", "logits_scales"]
    graph.node.append(
        helper.make_node(
            "Resize",
            [_SMALL, *sizes],
            ["logits"],
            name="logits_resize",
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
    )


def _computed_sizes() -> list[NodeProto]:
    """Return nodes that make `logits_sizes`: batch and classes of the logits, the image's sides."""
    parts = [(_SMALL, "logits_kept", 0, 2), (INPUT_NAME, "image_sides", 2, 4)]
    shapes = [
        helper.make_node("Shape", [source], [name], name=name, start=start, end=end)
        for source, name, start, end in parts
    ]
    names = [name for _, name, _, _ in parts]
    return [
        *shapes,
        helper.make_node("Concat", names, ["logits_sizes"], name="logits_sizes", axis=0),
    ]


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
        free = ["batch", "classes", "height", "width"] if value.name == "logits" else _MASK_SIDES
        for name, size in zip(free, full, strict=True):
            dim = declared.dim.add()
            if size is None:
                dim.dim_param = name
            else:
                dim.dim_value = size
    return infer_shapes(model, data_prop=True)
