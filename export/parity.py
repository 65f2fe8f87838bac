"""Do two runs of the same network give the same answer?"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.class_map import class_map
from export.errors import ExportError

MIN_ARGMAX_AGREEMENT = 99.99
"""Percent of pixels that must get the same class."""
MAX_RELATIVE_DIFFERENCE = 1e-3
"""Largest difference of a logit, relative to the largest logit."""

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
        """Say which limit is broken, or None."""
        if not self.argmax_agreement >= MIN_ARGMAX_AGREEMENT:
            return (
                f"argmax agreement {self.argmax_agreement:.4f} % is below {MIN_ARGMAX_AGREEMENT} %"
            )
        if self.max_abs_diff is not None and self.max_abs_logit is not None:
            allowed = MAX_RELATIVE_DIFFERENCE * self.max_abs_logit
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


def require_parity(parity: Parity, what: str) -> None:
    """Raise ExportError when a limit is broken; `what` names the two sides."""
    if parity.problem:
        raise ExportError(f"{what}: {parity.problem}; the file was not written")


def _mask(outputs: Outputs) -> NDArray[np.uint8]:
    mask = outputs.get("mask")
    return class_map(outputs["logits"]) if mask is None else mask
