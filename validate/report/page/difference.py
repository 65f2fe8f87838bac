"""One picture of where an artifact's prediction differs from its reference's, and for whom."""

import numpy as np

from export.artifact.classes import VOID
from validate.samples.thumbnail import Classes

SAME, OUTLINE, LOST, GAINED, OTHER = range(5)
COLOURS = [(238, 240, 243), (184, 190, 200), (200, 30, 30), (0, 114, 178), (230, 159, 0)]
MEANINGS = {
    LOST: "the reference is right, the artifact is not",
    GAINED: "the artifact is right, the reference is not",
    OTHER: "they differ, neither is right or there is no label",
}


def difference(expected: Classes, predicted: Classes, label: Classes | None) -> Classes:
    """Return SAME ... OTHER for every pixel, (h, w); OUTLINE is where the reference's classes meet.

    `label` may be None, and holds 255 where it says nothing.
    """
    kinds = np.full(expected.shape, SAME, np.uint8)
    kinds[:-1][expected[:-1] != expected[1:]] = OUTLINE
    kinds[:, :-1][expected[:, :-1] != expected[:, 1:]] = OUTLINE
    differs = predicted != expected
    kinds[differs] = OTHER
    if label is not None:
        said = differs & (label != VOID)
        kinds[said & (label == expected)] = LOST
        kinds[said & (label == predicted)] = GAINED
    return kinds
