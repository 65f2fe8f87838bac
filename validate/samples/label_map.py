"""What the values of masks mean: which class, or void. The table of maps that have a name."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from export.artifact.classes import VOID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Colour = tuple[int, int, int]
UNKNOWN = -1
"""Stands for a value that a map says nothing of."""


@dataclass(frozen=True)
class LabelMap:
    """`classes` says what values are; others are value + `offset`, or with `only` nothing.

    `rest` is the class, or 255, of values that no rule covers; None: an error. `colours` decode
    masks that hold colours. `declared` is False for what holds where the user said nothing.
    """

    name: str
    void: frozenset[int] = frozenset({VOID})
    offset: int = 0
    classes: Mapping[int, int] = field(default_factory=dict)
    only: bool = False
    rest: int | None = None
    colours: Mapping[Colour, int] = field(default_factory=dict)
    declared: bool = True
    help: str = field(default="", compare=False)

    @property
    def digest(self) -> str:
        """Return what tells maps apart that give other labels."""
        parts = asdict(self) | {"void": sorted(self.void), "name": "", "declared": True}
        del parts["help"]
        for key in ("classes", "colours"):
            parts[key] = sorted(parts[key].items())
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def class_of(self, value: int, count: int) -> int:
        """Return the class of a value among `count`, 255 for void, or UNKNOWN."""
        if value in self.classes:
            return self.classes[value]
        if value in self.void:
            return VOID
        if not self.only and 0 <= value + self.offset < count:
            return value + self.offset
        return UNKNOWN if self.rest is None else self.rest

    def apply(self, values: "NDArray[np.integer]", count: int) -> "NDArray[np.int16]":
        """Return the class of every pixel, 255 for void, UNKNOWN for what the map does not say."""
        import numpy as np

        present, where = np.unique(values, return_inverse=True)
        table = np.array([self.class_of(int(value), count) for value in present], np.int16)
        return table[where].reshape(values.shape)


AS_THEY_ARE = LabelMap("indices", declared=False)
"""Class indices, and 255 for void: what holds where the user says nothing."""

_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Cityscapes' id of each of the 19 classes that are evaluated (cityscapesscripts, labels.py)."""

_BY_ID = {value: index for index, value in enumerate(_CITYSCAPES_IDS)}

LABEL_MAPS: dict[str, LabelMap] = {
    "indices": LabelMap("indices", help="class indices, 255 is void"),
    "voc": LabelMap("voc", help="class indices, 255 is void"),
    "binary": LabelMap(
        "binary",
        frozenset(),
        classes={0: 0, 1: 1, 255: 1},
        only=True,
        help="0 is background, 255 (or 1) the class",
    ),
    "cityscapes": LabelMap(
        "cityscapes", frozenset(), classes=_BY_ID, only=True, rest=VOID, help="labelIds"
    ),
    "cityscapes-labelids": LabelMap(
        "cityscapes-labelids", frozenset(), classes=_BY_ID, only=True, rest=VOID, help="labelIds"
    ),
    "cityscapes-trainids": LabelMap("cityscapes-trainids", help="trainIds, 255 is void"),
    "ade20k": LabelMap("ade20k", frozenset({0, VOID}), offset=-1, help="0 is void, 1 is class 0"),
    "camvid": LabelMap(
        "camvid", frozenset({11, VOID}), help="class indices, 11 is void, as in SegNet's masks"
    ),
}
"""By name."""
