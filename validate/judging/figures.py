"""From counts to figures: the only place where a result's figures are computed.

`validate` writes what this finds, and `gate` finds it again before it believes a result.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from export.common.errors import DataError
from validate.judging.loss import Loss, find_losses
from validate.metrics.agreement import ImageCounts, away_from_borders, near_borders, overall, worst
from validate.metrics.bootstrap import RESAMPLES, SEED
from validate.metrics.confidence import LEVEL
from validate.metrics.large_arrays import by_rows
from validate.metrics.metrics import (
    class_images,
    class_iou,
    invented_classes,
    miou,
    pixel_accuracy,
)
from validate.result.evidence import Evidence
from validate.result.facts import ImageAgreement
from validate.result.result import Figures


def figures(
    evidence: Mapping[str, Evidence],
    reference: str,
    classes: Sequence[str],
    images: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> dict[str, Figures]:
    """Return the figures of every artifact, by the ids of `evidence`; `reference` is one.

    `evidence` must be complete. `resamples`, `seed` and `level` (percent) are those of
    the bootstrap.
    """
    matrices = {id: counts.labels for id, counts in evidence.items() if counts.labels is not None}
    losses = find_losses(matrices, reference, classes, resamples=resamples, seed=seed, level=level)
    return {
        id: _figures(counts, losses.get(id, Loss()), classes, images)
        for id, counts in evidence.items()
    }


def images_of_classes(evidence: Mapping[str, Evidence], classes: Sequence[str]) -> dict[str, int]:
    """Return in how many images a label has each class; empty without labels.

    All artifacts saw the same labels, so any of them tells.
    """
    for counts in evidence.values():
        if counts.labels is not None:
            return dict(zip(classes, class_images(counts.labels), strict=True))
    return {}


def image_counts(evidence: Evidence, images: Sequence[str]) -> list[ImageCounts]:
    """Return the pixels of every image that agree with the reference."""
    against, near = evidence.against, evidence.near
    if against is None or near is None:
        raise DataError("these counts do not tell agreement; 'segport validate' makes new ones")
    agreeing = by_rows(partial(np.trace, axis1=1, axis2=2), against)
    rows = zip(images, against.sum((1, 2)), agreeing, near, strict=True)
    return [
        ImageCounts(id, int(pixels), int(same), int(border[0]), int(border[1]))
        for id, pixels, same, border in rows
    ]


def _figures(
    evidence: Evidence, loss: Loss, classes: Sequence[str], images: Sequence[str]
) -> Figures:
    total = None if evidence.labels is None else evidence.labels.sum(0)
    per_image = image_counts(evidence, images)
    against, nonfinite = evidence.against, evidence.nonfinite
    return Figures(
        miou=None if total is None else miou(total),
        miou_ci95=loss.miou_ci95,
        pixel_accuracy=None if total is None else pixel_accuracy(total),
        class_iou={} if total is None else dict(zip(classes, class_iou(total), strict=True)),
        invented_classes=[] if total is None else [classes[c] for c in invented_classes(total)],
        drop=loss.drop,
        drop_ci95=loss.drop_ci95,
        class_drop=loss.class_drop,
        agreement=overall(per_image),
        agreement_boundary=near_borders(per_image),
        agreement_interior=away_from_borders(per_image),
        worst_images=[
            ImageAgreement(id=image.id, agreement=image.agreement) for image in worst(per_image)
        ],
        fidelity_miou=None if against is None else miou(against.sum(0)),
        nonfinite_images=0 if nonfinite is None else int(nonfinite.sum()),
    )
