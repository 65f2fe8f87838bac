"""What any ONNX file tells about itself, and how it would be imported."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from export.artifact.artifact import artifact_name
from export.artifact.classes import PRESETS
from export.artifact.outputs import BINARY_KINDS, OUTPUT_KINDS
from export.artifact.scale import Scale
from export.common.errors import ArtifactError, UsageError
from export.foreign.conventions import CHANNELS
from export.foreign.onnx_source import Shape, run_on_images
from export.foreign.output_view import (
    ends_in_sigmoid,
    like_image,
    mask_sides,
    white,
)
from export.foreign.probing import Arrays
from export.foreign.view import InputView, image_input
from export.onnx_graph.graph import attribute, consumers, dims, infer_shapes, initializers, opset
from export.onnx_graph.onnx_file import parse_model, tidied

_IMAGENET = ("0.485 0.456 0.406", "0.229 0.224 0.225")
_SIZES = (None, (512, 512), (513, 513), (256, 256), (224, 224), (1024, 1024))
"""Tried where the file leaves height and width free; None is any size."""
_MAIN = ("logits", "out", "output", "scores", "mask", "main", "prediction", "pred")
"""Names of outputs that are meant, where several could be."""
_PRESETS = {len(names): preset for preset, names in PRESETS.items()}
_MOVING = ("Transpose", "Cast", "Identity")
_RESHAPING = (*_MOVING, "Squeeze", "Unsqueeze", "Reshape")


@dataclass
class Preview:
    """`facts` are read from the file, `assumed` is what it does not say, `options` of import."""

    file: Path
    facts: dict[str, str]
    assumed: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Output:
    """An output that may be meant: `classes` it tells apart, None where nothing says."""

    name: str
    kind: str
    classes: int
    pixels: int

    @property
    def is_mask(self) -> bool:
        """Whether it holds classes, not scores."""
        return OUTPUT_KINDS[self.kind].becomes == "mask"


def preview(file: Path) -> Preview:
    """Look into a file, run it on seeded images, and say how it would be imported.

    Raises ArtifactError for a file that cannot be imported at all.
    """
    model = parse_model(file)
    view = image_input(file, model, None, None)
    wide = tidied(file, model)
    drafted = Preview(file, _facts(model))
    scale = _scale(drafted, view, wide.graph)
    sides, given = _ran(drafted, file, model, view, scale)
    _choose_output(drafted, file, wide, view, sides, given)
    try:
        artifact_name(file.stem)
    except UsageError:
        drafted.options += ["--name", re.sub(r"[^A-Za-z0-9_]+", "-", file.stem).strip("-") or "net"]
    return drafted


def _facts(model: ModelProto) -> dict[str, str]:
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    tensors = [*graph.initializer, *(a.t for n in graph.node for a in n.attribute if a.t.dims)]
    weights = Counter(_kind(tensor.data_type) for tensor in tensors)
    operators = Counter(node.op_type for node in graph.node)
    listed = sum(value.name in constants for value in graph.input)
    return {
        "opset": f"{opset(model)}, IR {model.ir_version}",
        "made by": f"{model.producer_name} {model.producer_version}".strip() or "not said",
        "inputs": _listed([value for value in graph.input if value.name not in constants]),
        "outputs": _listed(graph.output),
        "weights": ", ".join(f"{count} {kind}" for kind, count in sorted(weights.items()))
        + (f" ({listed} of them also inputs)" if listed else ""),
        "operators": ", ".join(f"{count} {name}" for name, count in operators.most_common()),
    }


def _listed(values: Iterable[ValueInfoProto]) -> str:
    return ", ".join(
        f"{v.name} {_kind(v.type.tensor_type.elem_type)} "
        f"({', '.join('?' if d is None else str(d) for d in dims(v))})"
        for v in values
    )


def _kind(elem_type: int) -> str:
    if elem_type == TensorProto.UNDEFINED:
        return "of no declared type"
    return str(helper.tensor_dtype_to_np_dtype(elem_type).name)


def _scale(drafted: Preview, view: InputView, graph: GraphProto) -> Scale:
    """Note how pictures are normalised, as far as the file says it; return what to run it with."""
    channels = CHANNELS[view.channels].count
    if view.channels != "grey":
        blue_first = view.channels.replace("rgb", "bgr")
        drafted.assumed.append(
            f"channels are {view.channels}; if they are not, --channels {blue_first}"
        )
    if view.dtype == "uint8":
        return Scale((0.0,) * channels, (1.0,) * channels, "0-255")
    inside = _normalised_inside(graph, view.name)
    if inside is not None:
        drafted.options += ["--range", inside]
        drafted.assumed.append(f"it normalises pictures of {inside} itself")
        return Scale((0.0,) * channels, (1.0,) * channels, inside)
    mean, std = _IMAGENET if channels == 3 else ("0.5", "0.5")
    drafted.options += ["--mean", mean, "--std", std]
    whose = "ImageNet's" if channels == 3 else "0.5"
    drafted.assumed.append(f"mean and std are {whose}: give those it was trained with")
    means, stds = ([float(v) for v in text.split()] for text in (mean, std))
    repeat = channels if len(means) == 1 else 1
    return Scale(tuple(means) * repeat, tuple(stds) * repeat, "0-1")


def _normalised_inside(graph: GraphProto, name: str) -> str | None:
    """Return the range that the first arithmetic with constants expects, None without such."""
    readers, constants = consumers(graph), initializers(graph)
    node = readers[name][0] if len(readers[name]) == 1 else None
    while node is not None and node.op_type in _MOVING:
        following = readers[node.output[0]]
        node = following[0] if len(following) == 1 else None
    if node is None or node.op_type not in ("Sub", "Div", "Mul", "Add", "BatchNormalization"):
        return None
    values = [numpy_helper.to_array(constants[n]) for n in node.input if n in constants]
    if not values:
        return None
    largest = max(float(np.abs(v).max(initial=0)) for v in values)
    if node.op_type == "Mul":  # by 1/255 or 1/58
        return "0-255" if largest < 0.1 else "0-1"
    return "0-255" if largest > 3 else "0-1"


def _ran(
    drafted: Preview, file: Path, model: ModelProto, view: InputView, scale: Scale
) -> tuple[tuple[int, int], Arrays]:
    """Note the size; return an image's height and width, and what the file gives for it."""
    height, width = view.sides
    channels = CHANNELS[view.channels].count
    if height is not None and width is not None:
        shape: Shape = (view.shape[0], channels, height, width)
        return _first_image(file, model, view, scale, shape)
    sizes = _SIZES if (height, width) == (None, None) else _SIZES[1:]
    for size in sizes:
        sides = (None, None) if size is None else (height or size[0], width or size[1])
        shape = (view.shape[0], channels, *sides)
        try:
            first = _first_image(file, model, view, scale, shape)
        except ArtifactError as error:
            failed = error
            continue
        chosen = ["dynamic"] if size is None else [str(side) for side in sides]
        drafted.options += ["--size", *chosen]
        drafted.assumed.append(
            "any size, as it leaves height and width free"
            if size is None
            else f"size {' '.join(chosen)}: the first that it ran at"
        )
        return first
    raise failed


def _first_image(
    file: Path, model: ModelProto, view: InputView, scale: Scale, shape: Shape
) -> tuple[tuple[int, int], Arrays]:
    images, given = run_on_images(file, model, view, scale, shape)
    height, width = images[0].shape[2:]
    return (height, width), given[0]


def _choose_output(
    drafted: Preview,
    file: Path,
    model: ModelProto,
    view: InputView,
    sides: tuple[int, int],
    given: Arrays,
) -> None:
    """Note the output, its kind and the number of its classes; `sides` are the image's."""
    candidates = [
        output
        for name, array in given.items()
        if (output := _read(name, array, model, view, sides))
    ]
    if not candidates:
        names = ", ".join(f"{name} {array.shape}" for name, array in given.items())
        raise ArtifactError(f"{file}: outputs are {names}, none of them is a segmentation")
    best = max(candidates, key=lambda o: (not o.is_mask, o.pixels, o.name.lower() in _MAIN))
    alike = [o for o in candidates if not o.is_mask and o.classes == best.classes]
    if len(alike) > 1:
        drafted.options += ["--output-name", best.name]
        others = ", ".join(o.name for o in candidates if o is not best)
        drafted.assumed.append(f"output {best.name} is the one that is meant, not {others}")
    if best.kind in BINARY_KINDS:
        drafted.assumed.append(
            f"output {best.name} is a {best.kind} of one class, from a probability of 0.5 on"
        )
        array = given[best.name]
        clear = ends_in_sigmoid(model.graph, best.name) or array.min() < 0 or array.max() > 1
        drafted.options += [] if clear else ["--kind", best.kind]
        drafted.options += ["--classes", "background,foreground"]
        return
    if best.kind == "mask" and given[best.name].dtype.kind == "f":
        drafted.options += ["--kind", "mask"]
        drafted.assumed.append(f"output {best.name} is a mask of class indices, as floats")
    if best.kind == "binary-mask":
        drafted.options += ["--kind", best.kind, "--classes", "background,foreground"]
        drafted.assumed.append(f"output {best.name} is a mask of 0 and 255, where its one class is")
        return
    names = _PRESETS.get(best.classes, str(best.classes))
    drafted.options += ["--classes", names]
    drafted.assumed.append(
        f"{best.classes} classes, {'numbered' if names.isdigit() else f'those of {names}'}: give "
        "their names, or a file with one per line"
    )


def _read(
    name: str, array: np.ndarray, model: ModelProto, view: InputView, sides: tuple[int, int]
) -> _Output | None:
    if array.ndim not in (3, 4):
        return None
    if array.dtype.kind in "iub":
        flat = array.ndim == 3 or 1 in (array.shape[1], array.shape[3])
        flat = flat and like_image(mask_sides(array), sides)
        if flat and white(array):
            return _Output(name, "binary-mask", 2, array[0].size)
        classes = max(_argmax_classes(model, name) or int(array.max()) + 1, 2)
        return _Output(name, "mask", classes, array[0].size) if flat else None
    if array.dtype.kind != "f":
        return None
    if chosen := _argmax_classes(model, name):  # a mask that was cast
        return _Output(name, "mask", chosen, array[0].size)
    if array.ndim == 3:
        if not like_image(array.shape[1:], sides):
            return None
        return _Output(name, _binary_kind(array, model, name), 2, array[0].size)
    last = _as_image(array.shape[1:3], sides) and not _as_image(array.shape[2:4], sides)
    count = array.shape[3] if last else array.shape[1]
    if not like_image(array.shape[1:3] if last else array.shape[2:4], sides):
        return None
    pixels = array[0].size // count
    if count == 1:
        return _Output(name, _binary_kind(array, model, name), 2, pixels)
    return _Output(name, "logits", count, pixels) if count <= 255 else None


def _as_image(shape: tuple[int, ...], sides: tuple[int, int]) -> bool:
    """Whether height and width are the image's, or both the same part of it."""
    return abs(shape[0] / sides[0] - shape[1] / sides[1]) < 0.1 and max(shape) > 4


def _binary_kind(array: np.ndarray, model: ModelProto, name: str) -> str:
    within = array.min() >= 0 and array.max() <= 1
    return "binary-probability" if within or ends_in_sigmoid(model.graph, name) else "binary-logit"


def _argmax_classes(model: ModelProto, name: str) -> int | None:
    """Return over how many classes an ArgMax chose, where a mask comes from one."""
    shaped = infer_shapes(model, data_prop=True)
    shapes = {v.name: dims(v) for v in [*shaped.graph.value_info, *shaped.graph.input]}
    producers: Mapping[str, NodeProto] = {o: n for n in shaped.graph.node for o in n.output}
    node = producers.get(name)
    while node is not None and node.op_type in _RESHAPING:
        node = producers.get(node.input[0])
    if node is None or node.op_type != "ArgMax" or node.input[0] not in shapes:
        return None
    return shapes[node.input[0]][attribute(node, "axis")]
