"""The images on which artifacts disagree most with their reference, kept as they stream past."""

from collections.abc import Mapping, Sequence

import numpy as np

from validate.judging.figures import image_counts
from validate.result.evidence import Evidence
from validate.samples.samples import Labelled, Preparation
from validate.samples.shrink import shrink
from validate.samples.thumbnail import Classes, Thumbnail


def worst_ids(
    evidence: Mapping[str, Evidence], reference: str, images: Sequence[str], count: int
) -> set[str]:
    """Return the ids of the `count` images that `WorstPictures` would keep, from their counts."""
    agreements = [
        np.array([one.agreement for one in image_counts(counts, images)])
        for key, counts in evidence.items()
        if key != reference
    ]
    if not agreements:
        return set()
    worst = np.min(agreements, axis=0)
    ranked = sorted(zip(worst, images, strict=True))[:count]
    return {id for agreement, id in ranked if agreement < 100}


class WorstPictures:
    """Keeps thumbnails of the `count` worst images seen so far, and nothing of the others.

    An image is as bad as its artifact that agrees least with the reference; among equals the
    first id counts as worse. An image on which all agree wholly is never kept.
    """

    def __init__(self, count: int, reference: str, preparation: Preparation) -> None:
        self.count = count
        self._reference = reference
        self._preparation = preparation
        self._kept: list[Thumbnail] = []

    def see(self, image: Labelled, predicted: Mapping[str, Classes]) -> None:
        """Look at one image and what every artifact, and the reference, predicts for it."""
        expected = predicted[self._reference]
        agreement = {
            key: 100 * float((classes == expected).mean())
            for key, classes in predicted.items()
            if key != self._reference
        }
        rank = (min(agreement.values(), default=100.0), image.sample.id)
        full = len(self._kept) >= self.count
        if rank[0] == 100 or (full and (not self._kept or rank > _rank(self._kept[-1]))):
            return
        small = shrink(image, predicted, agreement, self._preparation)
        self._kept = sorted([*self._kept, small], key=_rank)[: self.count]

    def worst_first(self) -> list[Thumbnail]:
        """Return what was kept."""
        return list(self._kept)


def _rank(kept: Thumbnail) -> tuple[float, str]:
    return min(kept.agreement.values()), kept.id
