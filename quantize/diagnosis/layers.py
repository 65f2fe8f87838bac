"""Turn sums of errors into what is said about each layer."""

from collections.abc import Mapping, Sequence
from math import inf, isfinite

from export.artifact.diagnosis import LayerDiagnosis
from quantize.diagnosis.errors import TensorError, decibels, sqnr_db
from quantize.diagnosis.points import Grid, Point
from quantize.diagnosis.weights import FLOAT16_NOISE, WeightError

FLOAT32_NOISE = 1e-9
"""More than float32 ever loses between two ways to compute the same layer (90 dB)."""


def layer_diagnoses(
    points: Sequence[Point],
    errors: Mapping[str, TensorError],
    weights: Mapping[str, WeightError],
) -> tuple[LayerDiagnosis, ...]:
    """Return one entry per point; `errors` are by its `seen`, `weights` by its layer."""
    sqnr = {name: sqnr_db(error.signal, error.noise) for name, error in errors.items()}
    return tuple(_layer(point, errors, weights.get(point.layer), sqnr) for point in points)


def _layer(
    point: Point,
    errors: Mapping[str, TensorError],
    weight: WeightError | None,
    sqnr: Mapping[str, float],
) -> LayerDiagnosis:
    grid, error = point.grid, errors[point.seen]
    finest = _finest_scale(grid, errors[point.joined or point.seen]) if grid else 0.0
    coarseness = grid.scale / finest if grid and finest > 0 else None
    local = sqnr_db(error.signal, error.local_noise)
    expected = _expected(point, error, weight, finest)
    weight_sqnr = weight.sqnr_db if weight else None
    return LayerDiagnosis(
        layer=point.layer,
        operator=point.operator,
        tensor=point.tensor,
        sqnr_db=sqnr[point.seen],
        input_sqnr_db=min((sqnr[name] for name in point.sources), default=None),
        local_sqnr_db=local,
        expected_sqnr_db=expected,
        jump_db=max(expected - min(local, expected), decibels((coarseness or 1.0) ** 2)),
        weight_sqnr_db=-inf if weight and not weight.finite else weight_sqnr,
        low=error.low,
        high=error.high,
        max_error=error.max_error,
        max_error_image=error.worst_image,
        scale=grid.scale if grid else None,
        zero_point=grid.zero_point if grid else None,
        coarseness=coarseness,
        saturated=error.saturated / error.values if grid else None,
        overflowed=error.overflowed / error.values if point.half else None,
        underflowed=error.underflowed / error.values if point.half else None,
        nonfinite=error.nonfinite,
    )


def _expected(point: Point, error: TensorError, weight: WeightError | None, finest: float) -> float:
    """Return the local SQNR that rounding explains: independent, evenly spread noises."""
    noise = FLOAT32_NOISE
    if point.half:
        noise += FLOAT16_NOISE
    if weight is not None and isfinite(weight.rounding):
        noise += weight.rounding
    if error.signal > 0:
        noise += finest**2 / 12 / (error.signal / error.values)
    return sqnr_db(1.0, noise)


def _finest_scale(grid: Grid, error: TensorError) -> float:
    """Return the scale with which the grid's integers just cover the values and 0.

    A grid that is symmetric on purpose has to reach as far to the other side.
    """
    low, high = min(error.low, 0.0), max(error.high, 0.0)
    symmetric = abs(grid.low + grid.high) <= grid.scale
    return (2 * max(-low, high) if symmetric else high - low) / grid.steps
