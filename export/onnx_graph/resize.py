"""What a linear Resize does along its axes."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from export.onnx_graph.graph import attributes, constant

Floats = NDArray[np.float64]

POSITIONS: dict[str, Callable[[Floats, int, int], Floats]] = {
    "half_pixel": lambda i, samples, pixels: (i + 0.5) * samples / pixels - 0.5,
    "pytorch_half_pixel": lambda i, samples, pixels: (i + 0.5) * samples / pixels - 0.5,
    "align_corners": lambda i, samples, pixels: i * (samples - 1) / (pixels - 1),
    "asymmetric": lambda i, samples, pixels: i * samples / pixels,
}
"""By Resize's `coordinate_transformation_mode`: pixels' positions in units of samples."""

_EXACT = 1e-3
"""Pixels by which a size may exceed samples x scale."""


def mode(resize: NodeProto) -> str | None:
    """Return the coordinate_transformation_mode of a plain linear Resize, None for any other."""
    given = attributes(resize)
    chosen = str(given.get("coordinate_transformation_mode", b"half_pixel").decode())
    plain = (
        given.get("mode", b"nearest") == b"linear"
        and not given.get("antialias")
        and not given.get("exclude_outside")
        and given.get("keep_aspect_ratio_policy", b"stretch") == b"stretch"
        and "axes" not in given
    )
    return chosen if plain and chosen in POSITIONS else None


def size(
    model: ModelProto, resize: NodeProto, shape: Sequence[int | None]
) -> tuple[int, int] | None:
    """Return the pixels of both axes, where constants say them and the other axes stay.

    `shape` is that of the input, (N, channels, h, w).
    """
    if len(shape) != 4 or None in shape:
        return None
    samples = [d or 0 for d in shape]
    scales, sizes = (
        constant(model.graph, name) if name else None for name in [*resize.input[2:], "", ""][:2]
    )
    if sizes is not None and sizes.size == 4:
        wanted = [int(value) for value in sizes]
    elif scales is not None and scales.size == 4:
        exact = [d * float(s) for d, s in zip(samples, scales, strict=True)]
        wanted = [int(np.floor(value)) for value in exact]
        if any(abs(w - e) > _EXACT for w, e in zip(wanted, exact, strict=True)):
            return None  # positions follow the scale, not the sizes
    else:
        return None
    return (wanted[2], wanted[3]) if wanted[:2] == samples[:2] else None


def shares(samples: int, pixels: int, mode: str) -> Floats:
    """Return how much of each sample is in each pixel of an axis, float64 (pixels, samples)."""
    position = POSITIONS[mode](np.arange(pixels, dtype=np.float64), samples, pixels)
    position = np.clip(position, 0, samples - 1)
    distance = np.abs(position[:, None] - np.arange(samples))
    return np.asarray(np.maximum(1 - distance, 0.0), np.float64)
