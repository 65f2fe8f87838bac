"""Resize: which of LiteRT's ways to place pixels gives the same positions as ONNX's."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from segport.conversion.litert.flatbuffer import options
from segport.conversion.litert.refusal import Unsupported

if TYPE_CHECKING:
    from segport.conversion.litert.step import Step

_CODES = {
    b"linear": ("RESIZE_BILINEAR", "ResizeBilinearOptions"),
    b"nearest": ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
}
Positions = NDArray[np.float64]
Rounding = Callable[[Positions], Positions]
_ROUND: dict[bytes, Rounding] = {
    b"round_prefer_floor": lambda x: np.ceil(x - 0.5),
    b"round_prefer_ceil": lambda x: np.floor(x + 0.5),
    b"floor": np.floor,
    b"ceil": np.ceil,
}
_MODES = {"half_pixel": (False, True), "align_corners": (True, False), "asymmetric": (False, False)}
"""LiteRT's alignCorners and halfPixelCenters, by how ONNX names the same."""
_EPSILON = 1e-4
"""Of a pixel: positions are computed in float32."""


def resize(step: "Step") -> None:
    """Resize of height and width, linear or nearest, wherever LiteRT reads the same positions."""
    kind = step.attributes.get("mode", b"nearest")
    if kind not in _CODES or step.shape()[:2] != step.result_shape()[:2]:
        raise Unsupported(f"mode {kind.decode()}, or other axes than height and width")
    if step.attributes.get("antialias", 0):
        raise Unsupported("antialias")
    image, sides = step.read(), step.result_shape()[2:]
    if step.shape() == step.result_shape():
        step.give(step.reshape(image, image.shape))
        return
    found = _mode(step, kind)
    if found is None:
        how = step.attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
        raise Unsupported(f"{kind.decode()}, {how}: LiteRT places no pixels like that")
    code, table = _CODES[kind]
    align, half = _MODES[found]
    given = options(table, alignCorners=align, halfPixelCenters=half)
    step.give(step.make(code, [image, step.indices(sides)], given, like=image))


def positions(how: str, pixels: int, results: int, scale: float | None = None) -> Positions:
    """Return where in an axis of `pixels` the `results` lie, as ONNX's Resize defines it."""
    index = np.arange(results, dtype=np.float64)
    factor = scale or results / pixels
    if how == "align_corners":
        return index * (pixels - 1) / (results - 1) if results > 1 else index
    if how == "asymmetric":
        return index / factor
    if how == "half_pixel" or (how == "pytorch_half_pixel" and results > 1):
        return (index + 0.5) / factor - 0.5
    return index if how == "pytorch_half_pixel" else np.full(results, np.nan)


def _mode(step: "Step", kind: bytes) -> str | None:
    """Return the mode with which LiteRT reads the same positions, or None."""
    how = step.attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    rounding = _ROUND[step.attributes.get("nearest_mode", b"round_prefer_floor")]
    scales = step.value(2)[2:].tolist() if step.has(2) and step.value(2).size else [None, None]
    axes = list(zip(step.shape()[2:], step.result_shape()[2:], scales, strict=True))
    for mode in _MODES:
        same = all(
            _nearest(mode, how, rounding, *axis)
            if kind == b"nearest"
            else _linear(mode, how, *axis)
            for axis in axes
        )
        if same:
            return mode
    return None


def _linear(mode: str, how: str, pixels: int, results: int, scale: float | None) -> bool:
    mine, theirs = (
        positions(name, pixels, results, given).clip(0, pixels - 1)
        for name, given in ((mode, None), (how, scale))
    )
    return bool((np.abs(mine - theirs) < _EPSILON).all())


def _nearest(
    mode: str, how: str, rounding: Rounding, pixels: int, results: int, scale: float | None
) -> bool:
    """Compare pixels: LiteRT rounds to the nearest in its first two modes, and down else."""
    read = positions(mode, pixels, results)
    mine = np.floor(read) if mode == "asymmetric" else np.floor(read + 0.5)
    theirs = rounding(positions(how, pixels, results, scale))
    return bool((mine.clip(0, pixels - 1) == theirs.clip(0, pixels - 1)).all())
