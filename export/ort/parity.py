"""Do two runs of the same network give the same answer?"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.artifact.class_map import class_map
from export.common.errors import ExportError


@dataclass(frozen=True)
class Limits:
    """Percent of pixels that must get the same class, and the largest difference of a logit,
    relative to the largest logit."""

    agreement: float
    difference: float


SINGLE = Limits(99.99, 1e-3)
"""Two runs in float32."""
HALF = Limits(99.0, 2e-2)
"""One of the two rounds to float16, whose steps are 1e-3 of a value, from layer to layer."""

Outputs = dict[str, NDArray[Any]]
"""Arrays by kind: `logits` (N, C, H, W) and/or `mask` (N, H, W)."""


@dataclass(frozen=True)
class Parity:
    """`max_abs_diff` and `max_abs_logit` are of the logits, null where only masks exist."""

    images: int
    max_abs_diff: float | None
    max_abs_logit: float | None
    argmax_agreement: float

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for a manifest."""
        return asdict(self)

    @property
    def problem(self) -> str | None:
        """Say which limit for float32 is broken, or None."""
        return self.problem_within(SINGLE)

    def problem_within(self, limits: Limits) -> str | None:
        """Say which limit is broken, or None."""
        if not self.argmax_agreement >= limits.agreement:
            return f"argmax agreement {self.argmax_agreement:.4f} % is below {limits.agreement} %"
        if self.max_abs_diff is not None and self.max_abs_logit is not None:
            allowed = limits.difference * self.max_abs_logit
            if not self.max_abs_diff <= allowed:
                return f"logits differ by {self.max_abs_diff:.3g}, allowed are {allowed:.3g}"
        return None


def measure_parity(pairs: Iterable[tuple[Outputs, Outputs]]) -> Parity:
    """Compare (expected, actual) outputs, one pair per image; they may lie at any size."""
    images = same = pixels = 0
    differences: list[float] = []
    magnitudes: list[float] = []
    for expected, actual in pairs:
        images += 1
        if "logits" in expected and "logits" in actual:
            differences.append(float(np.abs(expected["logits"] - actual["logits"]).max()))
            magnitudes.append(float(np.abs(expected["logits"]).max()))
        left, right = _mask(expected), _mask(actual)
        same += int((left == right).sum())
        pixels += left.size
    return Parity(
        images,
        float(np.max(differences)) if differences else None,
        float(np.max(magnitudes)) if magnitudes else None,
        100 * same / pixels,
    )


def require_parity(parity: Parity, what: str, limits: Limits = SINGLE) -> None:
    """Raise ExportError when a limit is broken; `what` names the two sides."""
    if problem := parity.problem_within(limits):
        raise ExportError(f"{what}: {problem}; the file was not written")


def _mask(outputs: Outputs) -> NDArray[np.uint8]:
    mask = outputs.get("mask")
    return class_map(outputs["logits"]) if mask is None else mask
