"""What a diagnosis finds: plain data, made by `quantize.diagnosis`, rendered by `validate`."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any


@dataclass(frozen=True)
class LayerDiagnosis:
    """One layer of the other file against fp32, over all images; in topological order.

    SQNRs are in dB: inf where nothing differs, -inf where values are not finite.

    `tensor` is the fp32 tensor that the layer gives. `sqnr_db` is the error that has come
    together there, `input_sqnr_db` the worst of the layer's inputs, None where it reads none.
    `local_sqnr_db` is the error the layer makes by itself, reading exact fp32 tensors, and
    `expected_sqnr_db` what rounding its output and weights to the file's integers or float16
    explains. `jump_db` says how much worse it is: expected - local, or what the scale loses by
    being `coarseness` times what the values need, where that is more. `weight_sqnr_db` is of the
    weights alone, None without weights or where a rewrite rescaled them; -inf for weights
    that are not finite.

    `low` and `high` are the fp32 tensor's extremes, `max_error` the largest difference
    (`max_error_image` has it). `scale` and `zero_point` are those of the tensor's QuantizeLinear
    and `saturated` the share (0-1) of fp32 values it cannot represent; None without one.
    `overflowed` is the share of fp32 values beyond 65504 and `underflowed` that of values which
    became 0, for float16 tensors only. `nonfinite` counts values that are inf or NaN.
    """

    layer: str
    operator: str
    tensor: str
    sqnr_db: float
    input_sqnr_db: float | None
    local_sqnr_db: float
    expected_sqnr_db: float
    jump_db: float
    weight_sqnr_db: float | None
    low: float
    high: float
    max_error: float
    max_error_image: str
    scale: float | None
    zero_point: int | None
    coarseness: float | None
    saturated: float | None
    overflowed: float | None
    underflowed: float | None
    nonfinite: int


@dataclass(frozen=True)
class Suspect:
    """The layer the error comes from: `layers[index]` of the diagnosis, and why.

    `stands_out` is False when it is only the worst of layers that are all alike.
    """

    index: int
    stands_out: bool
    reason: str


@dataclass(frozen=True)
class Diagnosis:
    """Two files compared tensor by tensor; a layer with a jump above `threshold_db` stands out."""

    reference: str
    other: str
    precision: str
    images: tuple[str, ...]
    threshold_db: float
    suspect: Suspect
    layers: tuple[LayerDiagnosis, ...]

    @property
    def suspected(self) -> LayerDiagnosis:
        """The suspect's layer."""
        return self.layers[self.suspect.index]

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: numbers that are not finite become "inf", "-inf", "nan"."""
        fields: dict[str, Any] = _plain(asdict(self))
        return fields


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value
