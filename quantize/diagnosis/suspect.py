"""Which layer does the error come from?"""

from collections.abc import Callable, Sequence
from math import inf
from statistics import median

from export.artifact.diagnosis import LayerDiagnosis, Suspect

LEAST_DB = 12.0
"""Healthy layers lie up to 10 dB off: weights whose sum cancels magnify their rounding."""
_DEVIATIONS = 6.0
"""Of the median absolute deviation, scaled to that of a normal distribution (1.4826)."""
_COARSE = 4.0
"""A scale that many times too large loses 12 dB."""
_MANY = 1e-3
"""Share of values that explains a jump when they are clipped or lost."""

Check = tuple[Callable[[LayerDiagnosis], bool], Callable[[LayerDiagnosis], str]]
# From what is a fault of the file for sure to what the images may have to do with.
_REASONS: tuple[Check, ...] = (
    (
        lambda layer: layer.weight_sqnr_db == -inf,
        lambda layer: "its weights hold inf or NaN",
    ),
    (
        lambda layer: bool(layer.nonfinite and layer.overflowed),
        lambda layer: (
            f"its values reach {_reach(layer):.3g}, float16 holds up to 65504: "
            f"{layer.nonfinite} became inf or NaN"
        ),
    ),
    (
        lambda layer: bool(layer.nonfinite),
        lambda layer: f"{layer.nonfinite} of its values are inf or NaN",
    ),
    (
        lambda layer: (layer.weight_sqnr_db or inf) < layer.expected_sqnr_db - LEAST_DB,
        lambda layer: (
            f"its weights are not fp32's rounded, but others (SQNR {layer.weight_sqnr_db:.1f} dB)"
        ),
    ),
    (
        lambda layer: (layer.coarseness or 0.0) > _COARSE,
        lambda layer: (
            f"its scale {layer.scale:.3g} is {layer.coarseness:.1f} times what values "
            f"from {layer.low:.3g} to {layer.high:.3g} need"
        ),
    ),
    (
        lambda layer: (layer.saturated or 0.0) > _MANY,
        lambda layer: (
            f"{layer.saturated:.2%} of its values lie outside what its scale "
            f"{layer.scale:.3g} can hold"
        ),
    ),
    (
        lambda layer: (layer.underflowed or 0.0) > _MANY,
        lambda layer: f"{layer.underflowed:.2%} of its values become 0 in float16",
    ),
    (
        lambda layer: True,
        lambda layer: "it makes more error than rounding its output and weights explains",
    ),
)


def find_suspect(layers: Sequence[LayerDiagnosis]) -> tuple[float, Suspect]:
    """Return the threshold of the jumps in dB, and the suspect.

    That is the first layer, in topological order, whose output or weights are not finite. Else,
    of the layers whose jump stands out, those with the gravest reason, and of these the one
    with the largest jump. A jump stands out above
    median + max(12 dB, 6 * 1.4826 * median absolute deviation). When none does, the suspect is
    the layer whose own error is largest.
    """
    usual = [layer.jump_db for layer in layers if layer.jump_db < inf] or [0.0]
    spread = median(abs(jump - median(usual)) for jump in usual)
    threshold = median(usual) + max(LEAST_DB, _DEVIATIONS * 1.4826 * spread)
    broken = [i for i, layer in enumerate(layers) if _broken(layer)]
    loud = [i for i, layer in enumerate(layers) if layer.jump_db > threshold]
    for holds, say in _REASONS:
        candidates = [i for i in broken[:1] or loud if holds(layers[i])]
        if candidates:
            worst = max(candidates, key=lambda i: layers[i].jump_db)
            return threshold, Suspect(worst, True, say(layers[worst]))
    own = min(range(len(layers)), key=lambda i: layers[i].local_sqnr_db)
    reason = "nothing stands out; of errors that rounding explains, its own is largest"
    if all(layer.sqnr_db == inf for layer in layers):
        reason = "no tensor differs from fp32"
    return threshold, Suspect(own, False, reason)


def _broken(layer: LayerDiagnosis) -> bool:
    return bool(layer.nonfinite) or layer.weight_sqnr_db == -inf


def _reach(layer: LayerDiagnosis) -> float:
    return max(abs(layer.low), abs(layer.high))
