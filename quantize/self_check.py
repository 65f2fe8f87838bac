"""No file leaves unjudged: its agreement with fp32 on images that did not shape it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.artifact.artifact import Artifact
from export.artifact.sample import Sample
from export.common.errors import ComparisonError, QuantizeError
from quantize.agreement import BySize, agreement_with, by_size
from quantize.diagnosis.diagnosis import diagnose

IMAGES = 16
"""Judge at most."""
_ENOUGH = (2, 4, 8)
"""Judge alone where they leave no doubt. Two take a tenth of the time."""
_MANY = 8
"""Images with objects from which on they must show what objects keep, not only have it as mean."""
_STUDENT = (
    6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83, 1.81, 1.80, 1.78, 1.77, 1.76, 1.75,
)  # fmt: skip
"""Standard errors that a mean of 2, 3, ... images must lie above a threshold (one-sided, 95 %)."""
THRESHOLD = 95.0
"""Percent of pixels; what int8 loses without being broken is far less (97 to 99.6 measured)."""
_BLAMED = 3
_LOOKED_AT = 4
"""Calibration images that are compared with each other."""
_FLAT = 0.02
"""Standard deviation of normalised pixels, which is about 1 for photos."""
_ALIKE = 0.05
"""Mean difference of normalised pixels; between two photos it is about 1."""


@dataclass(frozen=True)
class SelfCheck:
    """Who judges a finished file and when it is refused.

    `held_back` are images that did not calibrate; empty where there are no others, then some of
    the calibration images judge. `least` is the agreement in percent below which nothing is
    written, unless `force`.
    """

    held_back: Sequence[Sample] = ()
    least: float = THRESHOLD
    force: bool = False

    def facts(
        self,
        fp32: Artifact,
        made: Artifact,
        calibration: Sequence[Sample],
        *,
        searched: bool = False,
    ) -> dict[str, Any]:
        """Return what the manifest says of the file; QuantizeError naming layers if it is refused.

        Without any images there is nothing to say. A file that was `searched` for keeps the budget
        its user gave, on more images than judge here: what objects lose is told, no more.
        """
        held_back = bool(len(self.held_back))
        judges = self.held_back if held_back else _spread(calibration, IMAGES)
        if not len(judges):
            return {}
        images, found = self._judged(fp32, made, judges)
        sizes = by_size(found)
        agreement, objects = min(sizes.values()), _objects(found)
        if (fault := self._fault(agreement, () if searched else objects)) and not self.force:
            raise QuantizeError(
                f"{made.path.name}: agrees with fp32 on {fault}, of {len(images)} images; nothing "
                f"was written. {_blame(fp32, made, images)}{_advice(made)}"
            )
        return {
            "agreement": agreement,
            "objects": float(np.mean(objects)) if objects else None,
            "by_size": sizes,
            "held_back": held_back,
            "images": [{"id": image.id, "sha256": image.sha256} for image in images],
            "warnings": warnings(_spread(calibration, _LOOKED_AT), len(calibration)),
        }

    @property
    def _least_objects(self) -> float:
        """Percent; twice as much may be lost in objects, as borders are most of what int8 moves."""
        return 100 - 2 * (100 - self.least)

    def _judged(
        self, fp32: Artifact, made: Artifact, judges: Sequence[Sample]
    ) -> tuple[list[Sample], list[BySize]]:
        """Judge by as few images as leave no doubt; return them, and how far each agrees."""
        images: list[Sample] = []
        found: list[BySize] = []
        agreement = agreement_with(fp32, made)
        for image in islice(judges, IMAGES):
            images.append(image)
            found.append(agreement(image))
            if len(found) in _ENOUGH and self._is_sure(found):
                break
        return images, found

    def _is_sure(self, found: Sequence[BySize]) -> bool:
        pixels = [min(size.pixels for size in sizes.values()) for sizes in found]
        objects = _objects(found)
        return (
            surely(pixels) >= self.least
            and len(objects) > 1
            and surely(objects) >= self._least_objects
        )

    def _fault(self, agreement: float, objects: Sequence[float]) -> str | None:
        """Say what is too little; what few images cannot show is not held against a file."""
        if not agreement >= self.least:
            return f"{agreement:.1f} % of pixels, less than {self.least:g} %"
        if not objects:
            return None
        mean = float(np.mean(objects))
        shown = surely(objects) if len(objects) >= _MANY else mean
        if shown >= self._least_objects:
            return None
        return (
            f"{agreement:.1f} % of pixels, but in objects (all but an image's commonest class) on "
            f"{mean:.1f} %, which does not show {self._least_objects:g} %"
        )


def _objects(found: Sequence[BySize]) -> list[float]:
    """Return each image's agreement in objects at its worst size, of images that have some."""
    by_image = [
        [size.objects for size in sizes.values() if size.objects is not None] for sizes in found
    ]
    return [min(values) for values in by_image if values]


def surely(values: Sequence[float]) -> float:
    """Return the agreement that some images' (percent, from two on) show, with 95 % confidence.

    Two of them may be alike by chance; what the images of one network lose spreads like an
    exponential, whose deviation is its mean, so the deviation is taken to be no less.
    """
    mean = float(np.mean(values))
    deviation = max(float(np.std(values, ddof=1)), 100 - mean)
    return mean - _STUDENT[len(values) - 2] * deviation / math.sqrt(len(values))


def warnings(images: Sequence[Sample], total: int) -> list[str]:
    """Say in a line each what is wrong with calibration images, of which there are `total`."""
    messages = []
    if total == 1:
        messages.append("one calibration image: ranges of others are unknown; give more --samples")
    flat = [image.id for image in images if float(np.std(image.image, axis=(2, 3)).max()) < _FLAT]
    if flat:
        messages.append(
            f"{len(flat)} of {len(images)} calibration images looked at are of one colour "
            f"(the first is {flat[0]}); ranges need what the network will see"
        )
    if len(images) > 1 and len(flat) < len(images):
        first, *others = (_small(image.image) for image in images)
        if all(float(np.abs(other - first).mean()) < _ALIKE for other in others):
            messages.append("the calibration images are nearly the same; give different ones")
    return messages


def _small(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take 16 x 16 pixels, whatever the size."""
    height, width = image.shape[2:]
    rows, columns = np.arange(16) * height // 16, np.arange(16) * width // 16
    return image[:, :, rows][:, :, :, columns]


def _spread(samples: Sequence[Sample], most: int) -> list[Sample]:
    count = min(most, len(samples))
    return [samples[len(samples) * i // count] for i in range(count)]


def _blame(fp32: Artifact, made: Artifact, images: Sequence[Sample]) -> str:
    try:
        diagnosis = diagnose(fp32, made, images[:1])
    except ComparisonError:  # nothing to compare tensor by tensor
        return ""
    suspect = diagnosis.suspected
    worst = sorted(diagnosis.layers, key=lambda layer: layer.local_sqnr_db)
    names = list(dict.fromkeys([suspect.layer, *(layer.layer for layer in worst)]))[:_BLAMED]
    return f"Layers to blame first: {', '.join(names)} ({diagnosis.suspect.reason}). "


def _advice(made: Artifact) -> str:
    if made.manifest.precision != "int8":
        return "Keep them in float with --keep-float, or give --force"
    return "Leave in float what must be with --min-agreement 99, or give --force"
