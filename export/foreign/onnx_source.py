"""A third-party ONNX file, read: graph, input conventions, and outputs for sample images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.artifact.image import as_mode, normalised, synthetic_images
from export.artifact.manifest import INPUT_NAME
from export.artifact.scale import Scale, find_scale
from export.artifact.size import MIN_SIZE, NOMINAL_SIZE
from export.common.errors import ArtifactError, UsageError
from export.foreign.conventions import CHANNELS
from export.foreign.output_view import OutputRequest, OutputView, chosen_outputs
from export.foreign.probing import MAX_INPUT, Arrays, run_safely
from export.foreign.view import MODES, InputView, image_input
from export.onnx_graph.graph import opset
from export.onnx_graph.onnx_file import parse_model, tidied
from export.onnx_graph.single import other_float
from export.ort.parity import Outputs

CHECK_IMAGES = 2
_DYNAMIC_SIZES = ((NOMINAL_SIZE, (353, 289)), ((512, 512), (352, 288)))
"""Sizes a file that takes any is checked at; the second pair for those that want multiples."""

Floats = NDArray[np.float32]
Size = tuple[int, int] | Literal["dynamic"] | None
Shape = tuple[int | None, int, int | None, int | None]


@dataclass(frozen=True)
class SourceOptions:
    """What the user says about a file; None: see for yourself. See `import_model`."""

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    size: Size = None
    layout: str | None = None
    channels: str | None = None
    range: str | None = None
    output: OutputRequest = field(default_factory=OutputRequest)


@dataclass(frozen=True)
class OnnxSource:
    """A file as it is to be read.

    `model` is tidied, in float32. `other_float` names the type it had if that was another.
    `probes` hold an input, as artifacts take it, and by kind what the untouched file gave for it
    in onnxruntime. `shape` is the artifact's input, null where any will do; `counted_at` the
    height and width of the first probe.
    """

    file: Path
    model: ModelProto
    other_float: str | None
    opset: int
    view: InputView
    scale: Scale
    shape: Shape
    outputs: tuple[OutputView, ...]
    unused: tuple[str, ...]
    probes: list[Outputs]

    @property
    def counted_at(self) -> tuple[int, int]:
        """Return height and width of the first probe."""
        height, width = self.probes[0][INPUT_NAME].shape[2:]
        return int(height), int(width)


def read_source(file: Path, classes: int, reading: SourceOptions) -> OnnxSource:
    """Read a file, find out how it is to be read, and run it on seeded images.

    Raises UsageError for what has to be said and was not, ArtifactError for a file that is no
    segmentation network of so many classes, or that cannot be run.
    """
    model = parse_model(file)
    view = image_input(file, model, reading.layout, reading.channels)
    channels = CHANNELS[view.channels].count
    scale = find_scale(reading.mean, reading.std, reading.range, channels, view.dtype)
    shape = (view.shape[0], channels, *_sides(file, view, reading.size))
    images, given = run_on_images(file, model, view, scale, shape)
    wide = tidied(file, model)
    sides = images[0].shape[2:]
    outputs = chosen_outputs(file, wide.graph, given[0], classes, view, reading.output, sides)
    probes = [
        _seen(file, outputs, arrays, image) | {INPUT_NAME: image}
        for image, arrays in zip(images, given, strict=True)
    ]
    kept = {seen.name for seen in outputs}
    return OnnxSource(
        file=file,
        model=wide,
        other_float=other_float(model),
        opset=opset(model),
        view=view,
        scale=scale,
        shape=shape,
        outputs=tuple(outputs),
        unused=tuple(sorted(given[0].keys() - kept)),
        probes=probes,
    )


def _sides(file: Path, view: InputView, size: Size) -> tuple[int | None, int | None]:
    """Return the artifact's height and width, null where any will do."""
    height, width = view.sides
    if size == "dynamic":
        if (height, width) != (None, None):
            raise UsageError(
                f"import: --size dynamic, but {file.name} is fixed to {height or 'any'} "
                f"{width or 'any'}"
            )
        return None, None
    if size is None and (height is None or width is None):
        raise UsageError(
            f"import: --size H W is needed, or --size dynamic: {file.name} leaves its input's "
            "height and width free"
        )
    if size is not None and min(size) < MIN_SIZE:
        raise UsageError(f"size {size[0]} {size[1]}: both must be at least {MIN_SIZE} pixels")
    wanted = size or (height, width)
    if height not in (None, wanted[0]) or width not in (None, wanted[1]):
        raise UsageError(
            f"import: --size {wanted[0]} {wanted[1]}, but {file.name} is fixed to {height} {width}"
        )
    return wanted


def run_on_images(
    file: Path, model: ModelProto, view: InputView, scale: Scale, shape: Shape
) -> tuple[list[Floats], list[Arrays]]:
    """Return the check images, as artifacts take them, and what the file gives for each."""
    batch, _, height, width = shape
    if height is not None and width is not None:
        _refuse_huge(file, shape)
        return _run_at([(height, width)] * CHECK_IMAGES, file, model, view, scale, batch or 1)
    first, second = _DYNAMIC_SIZES
    try:
        return _run_at(first, file, model, view, scale, batch or 1)
    except ArtifactError:
        return _run_at(second, file, model, view, scale, batch or 1)


def _run_at(
    sizes: Sequence[tuple[int, int]],
    file: Path,
    model: ModelProto,
    view: InputView,
    scale: Scale,
    batch: int,
) -> tuple[list[Floats], list[Arrays]]:
    mode = MODES[CHANNELS[view.channels].count]
    images = []
    for seed, size in enumerate(sizes):
        (picture,) = synthetic_images(1, size, seed)
        image = normalised(as_mode(picture, mode), *scale.in_ones)
        images.append(np.repeat(image, batch, axis=0))
    given = run_safely(file, model, [{view.name: view.fed(image)} for image in images])
    return images, given


def _refuse_huge(file: Path, shape: Shape) -> None:
    size = 4 * prod(side or 1 for side in shape)
    if size > MAX_INPUT:
        raise ArtifactError(
            f"{file}: its input is {'x'.join(str(side or 1) for side in shape)}, which takes "
            f"{size / 1e9:.1f} GB; export it with a size and batch that fit into 1 GB"
        )


def _seen(file: Path, outputs: Sequence[OutputView], arrays: Arrays, image: Floats) -> Outputs:
    """Return the outputs as an artifact would give them, and check that they can be used."""
    result: Outputs = {}
    for seen in outputs:
        array = arrays[seen.name]
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ArtifactError(
                f"{file}: output {seen.name} is not finite for ordinary images; check the weights, "
                "and that --mean, --std and --range are those it was trained with"
            )
        result |= seen.seen(array)
    return result
