"""No file leaves unjudged: its agreement with fp32 on images that did not shape it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.artifact.artifact import Artifact
from export.artifact.class_map import classes_of
from export.artifact.sample import Sample
from export.artifact.second_size import second_size
from export.common.errors import ComparisonError, QuantizeError
from export.ort.sessions import open_session, run
from quantize.diagnosis.diagnosis import diagnose

IMAGES = 16
"""Judge at most."""
_SURE = {2: 6.31, 4: 2.35, 8: 1.90}
"""Judge alone where they leave no doubt: so many images, and how many standard errors of their mean
it must lie above the threshold (Student's t, one-sided, 95 %). Two take a tenth of the time."""
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
        self, fp32: Artifact, made: Artifact, calibration: Sequence[Sample]
    ) -> dict[str, Any]:
        """Return what the manifest says of the file; QuantizeError naming layers if it is refused.

        Without any images there is nothing to say.
        """
        held_back = bool(len(self.held_back))
        judges = self.held_back if held_back else _spread(calibration, IMAGES)
        if not len(judges):
            return {}
        images, by_size = self._judged(fp32, made, judges)
        agreement = min(by_size.values())
        if not agreement >= self.least and not self.force:
            raise QuantizeError(
                f"{made.path.name}: agrees with fp32 on {agreement:.1f} % of pixels of "
                f"{len(images)} images, less than {self.least:g} %; nothing was written. "
                f"{_blame(fp32, made, images)}{_advice(made)}"
            )
        return {
            "agreement": agreement,
            "by_size": by_size,
            "held_back": held_back,
            "images": [{"id": image.id, "sha256": image.sha256} for image in images],
            "warnings": warnings(_spread(calibration, _LOOKED_AT), len(calibration)),
        }

    def _judged(
        self, fp32: Artifact, made: Artifact, judges: Sequence[Sample]
    ) -> tuple[list[Sample], dict[str, float]]:
        """Judge by as few images as leave no doubt; return them, and the agreement by size."""
        images: list[Sample] = []
        found: list[dict[str, float]] = []
        agreement = agreement_with(fp32, made)
        for image in islice(judges, IMAGES):
            images.append(image)
            found.append(agreement(image))
            values = [min(sizes.values()) for sizes in found]
            if len(found) in _SURE and surely(values) >= self.least:
                break
        return images, _by_size(found)


def surely(values: Sequence[float]) -> float:
    """Return the agreement that a few images' (percent) show, of as many as `_SURE` has.

    Two of them may be alike by chance; what the images of one network lose spreads like an
    exponential, whose deviation is its mean, so the deviation is taken to be no less.
    """
    mean = float(np.mean(values))
    deviation = max(float(np.std(values, ddof=1)), 100 - mean)
    return mean - _SURE[len(values)] * deviation / math.sqrt(len(values))


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


def agreements(fp32: Artifact, made: Artifact, images: Sequence[Sample]) -> dict[str, float]:
    """Return the percent of pixels with the class of fp32, by the size they were judged at."""
    return _by_size([*map(agreement_with(fp32, made), images)])


def _by_size(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    sizes = dict.fromkeys(size for one in found for size in one)
    return {size: float(np.mean([one[size] for one in found if size in one])) for size in sizes}


def agreement_with(fp32: Artifact, made: Artifact) -> Callable[[Sample], dict[str, float]]:
    """Return what gives an image's percent of pixels with the class of fp32, by size.

    Networks that take any size are judged at that of the image and at a smaller one.
    """
    one, other = open_session(fp32.path), open_session(made.path)
    batch = fp32.manifest.input.shape[0] or 1
    free = None in fp32.manifest.input.shape[2:]
    kind = np.float16 if made.manifest.input.dtype == "float16" else np.float32

    def agreement(sample: Sample) -> dict[str, float]:
        found = {}
        for image in [sample.image, *([_smaller(sample.image)] if free else [])]:
            repeated = np.repeat(image, batch, axis=0)
            wanted = classes_of(run(one, repeated)[0])
            actual = classes_of(run(other, repeated.astype(kind))[0])
            found["x".join(map(str, image.shape[2:]))] = 100 * float(np.mean(wanted == actual))
        return found

    return agreement


def _smaller(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take pixels evenly, as many as `second_size` says."""
    sides = image.shape[2:]
    rows, columns = (
        np.arange(count) * side // count
        for side, count in zip(sides, second_size(sides), strict=True)
    )
    return image[:, :, rows][:, :, :, columns]


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
