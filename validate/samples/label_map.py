"""What the values of masks mean: which class, or void. Declared in TOML, or by a name.

void = [0, 255]           # values that count for nothing; by default 255
offset = -1               # class = value + offset
others = "void"           # values that nothing else says; by default they are an error
[classes]                 # values that the rule above is wrong for: class by index or name
255 = "person"
[colours]                 # of masks that hold colours: "#rrggbb" = class or "void"
"#ff0000" = 1
"""

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from export.artifact.classes import VOID
from export.common.errors import DataError, unknown
from export.common.files import file_text

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

    @property
    def digest(self) -> str:
        """Return what tells maps apart that give other labels."""
        parts = asdict(self) | {"void": sorted(self.void), "name": "", "declared": True}
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

    def apply(self, values: NDArray[np.integer], count: int) -> NDArray[np.int16]:
        """Return the class of every pixel, 255 for void, UNKNOWN for what the map does not say."""
        found, where = np.unique(values, return_inverse=True)
        table = np.array([self.class_of(int(value), count) for value in found], np.int16)
        return table[where].reshape(values.shape)


AS_THEY_ARE = LabelMap("indices", declared=False)
"""Class indices, and 255 for void: what holds where the user says nothing."""

_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Cityscapes' id of each of the 19 classes that are evaluated (cityscapesscripts, labels.py)."""

_BY_ID = {value: index for index, value in enumerate(_CITYSCAPES_IDS)}

LABEL_MAPS: dict[str, LabelMap] = {
    "indices": LabelMap("indices"),
    "voc": LabelMap("voc"),
    "binary": LabelMap("binary", frozenset(), classes={0: 0, 1: 1, 255: 1}, only=True),
    "cityscapes": LabelMap("cityscapes", frozenset(), classes=_BY_ID, only=True, rest=VOID),
    "cityscapes-labelids": LabelMap(
        "cityscapes-labelids", frozenset(), classes=_BY_ID, only=True, rest=VOID
    ),
    "cityscapes-trainids": LabelMap("cityscapes-trainids"),
    "ade20k": LabelMap("ade20k", frozenset({0, VOID}), offset=-1),
    "camvid": LabelMap("camvid", frozenset({11, VOID})),
}
"""By name. "binary": 0 is background, 255 (or 1) the class. "cityscapes" are labelIds. "ade20k": 0
is void, 1 is class 0. "camvid": 11 is void, as in SegNet's masks."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    void: tuple[int, ...] = (VOID,)
    offset: int = 0
    others: Literal["void"] | None = None
    classes: dict[int, int | str] = Field(default_factory=dict)
    colours: dict[str, int | str] = Field(default_factory=dict)


def read_label_map(source: str | None, names: Sequence[str]) -> LabelMap:
    """Return the map called `source`, or that of a TOML file; AS_THEY_ARE for None.

    `names` are those of the network's classes, in order. Raises DataError for a file that cannot
    be read, a key or a class that is not there, and a colour that is none.
    """
    if source is None:
        return AS_THEY_ARE
    if source in LABEL_MAPS:
        return LABEL_MAPS[source]
    path = Path(source)
    if path.suffix != ".toml" and not os.path.isfile(path):  # noqa: PTH113, any text will do
        raise DataError(f"{unknown('label map', source, LABEL_MAPS)}, or a TOML file")
    try:
        content = _File.model_validate(tomllib.loads(file_text(path)))
    except OSError as error:
        raise DataError(f"label map {source}: cannot read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"label map {source}: {where}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"label map {source}: not valid TOML ({error})") from error
    return LabelMap(
        path.name,
        frozenset(content.void),
        content.offset,
        {value: _index(source, c, names) for value, c in content.classes.items()},
        rest=VOID if content.others else None,
        colours={
            _colour(source, text): _index(source, c, names) for text, c in content.colours.items()
        },
    )


def _index(source: str, wanted: int | str, names: Sequence[str]) -> int:
    if wanted == "void":
        return VOID
    if isinstance(wanted, str):
        if wanted not in names:
            raise DataError(f"label map {source}: {unknown('class', wanted, names)}")
        return names.index(wanted)
    if wanted != VOID and not 0 <= wanted < len(names):
        raise DataError(
            f"label map {source}: class {wanted}; the network has 0 to {len(names) - 1}"
        )
    return wanted


def _colour(source: str, text: str) -> Colour:
    digits = text.removeprefix("#")
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError as error:
        raise DataError(f"label map {source}: colour '{text}'; write it as \"#rrggbb\"") from error
    return red, green, blue
