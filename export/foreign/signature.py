"""Rewrites: give a third-party graph outputs of the image's size, and an artifact's shapes."""

from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.artifact.manifest import INPUT_NAME
from export.onnx_graph.graph import infer_shapes, rename_reads

_AXES = {
    "logits": ["batch", "classes", "height", "width"],
    "mask": ["batch", "height", "width"],
}
_BYTE = TensorProto.UINT8


def resize_logits(
    model: ModelProto,
    shape: Sequence[int],
    wanted: tuple[int | None, ...],
    image: Sequence[int] | None = None,
) -> None:
    """Append a bilinear, half-pixel Resize where the logits are smaller than the image.

    `shape` is the (height, width) of the logits of an image of size `image`, by default `wanted`.
    Where `wanted` is null, any size, it is computed in the graph.
    """
    _resize(model, "logits", shape, wanted, image, mode="linear")


def resize_mask(
    model: ModelProto,
    shape: Sequence[int],
    wanted: tuple[int | None, ...],
    image: Sequence[int] | None = None,
) -> None:
    """Append a Resize that takes the nearest pixel, as PIL's NEAREST does; the mask becomes uint8.

    Nothing where the mask, `shape`, is as large as the image. See `resize_logits`.
    """
    if tuple(shape) == tuple(image or wanted):
        return
    for value in model.graph.output:
        if (
            value.name == "mask" and value.type.tensor_type.elem_type != _BYTE
        ):  # onnxruntime has no Resize of int64
            _rename(model.graph, "mask", "mask_indices")
            cast = helper.make_node("Cast", ["mask_indices"], ["mask"], name="mask_cast", to=_BYTE)
            model.graph.node.append(cast)
            value.type.tensor_type.elem_type = _BYTE
    _resize(model, "mask", shape, wanted, image, mode="nearest", nearest_mode="round_prefer_ceil")


def _resize(
    model: ModelProto,
    output: str,
    shape: Sequence[int],
    wanted: tuple[int | None, ...],
    image: Sequence[int] | None,
    **how: str,
) -> None:
    if tuple(shape) == tuple(image or wanted):
        return
    graph, small = model.graph, f"{output}_small"
    _rename(graph, output, small)
    leading = [1] * (len(_AXES[output]) - 2)
    height, width = wanted
    if height is None or width is None:
        graph.node.extend(_computed_sizes(output, small))
        sizes = ["", "", f"{output}_sizes"]
    else:
        factors = [*leading, _scale(shape[0], height), _scale(shape[1], width)]
        scales = np.array(factors, np.float32)
        graph.initializer.append(numpy_helper.from_array(scales, f"{output}_scales"))
        sizes = ["", f"{output}_scales"]
    graph.node.append(
        helper.make_node(
            "Resize",
            [small, *sizes],
            [output],
            name=f"{output}_resize",
            coordinate_transformation_mode="half_pixel",
            **how,
        )
    )


def _rename(graph: GraphProto, name: str, other: str) -> None:
    """Give a tensor another name, so that what is appended may have its own."""
    for node in graph.node:
        rename_reads(node, {name: other})
        node.output[:] = [other if n == name else n for n in node.output]


def _computed_sizes(output: str, small: str) -> list[NodeProto]:
    """Return nodes that make its sizes: the leading axes of the small one, the image's sides."""
    kept, sides = f"{output}_kept", f"{output}_image_sides"
    parts = [(small, kept, 0, len(_AXES[output]) - 2), (INPUT_NAME, sides, 2, 4)]
    shapes = [
        helper.make_node("Shape", [source], [name], name=name, start=start, end=end)
        for source, name, start, end in parts
    ]
    joined = f"{output}_sizes"
    return [*shapes, helper.make_node("Concat", [kept, sides], [joined], name=joined, axis=0)]


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
        for name, size in zip(_AXES[value.name], full, strict=True):
            dim = declared.dim.add()
            if size is None:
                dim.dim_param = name
            else:
                dim.dim_value = size
    return infer_shapes(model, data_prop=True)
