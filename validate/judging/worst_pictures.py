"""The images on which artifacts disagree most with their reference, kept as they stream past."""

from collections.abc import Mapping

from validate.samples.samples import Labelled, Preparation
from validate.samples.shrink import shrink
from validate.samples.thumbnail import Classes, Thumbnail


class WorstPictures:
    """Keeps thumbnails of the `count` worst images seen so far, and nothing of the others.

    An image is as bad as its artifact that agrees least with the reference; among equals the
    first id counts as worse. An image on which all agree wholly is never kept.
    """

    def __init__(self, count: int, reference: str, preparation: Preparation) -> None:
        self._count = count
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
        full = len(self._kept) >= self._count
        if rank[0] == 100 or (full and (not self._kept or rank > _rank(self._kept[-1]))):
            return
        small = shrink(image, predicted, agreement, self._preparation)
        self._kept = sorted([*self._kept, small], key=_rank)[: self._count]

    def worst_first(self) -> list[Thumbnail]:
        """Return what was kept."""
        return list(self._kept)


def _rank(kept: Thumbnail) -> tuple[float, str]:
    return min(kept.agreement.values()), kept.id
