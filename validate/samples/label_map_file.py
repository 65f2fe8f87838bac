"""What the values of masks mean: which class, or void. Declared in TOML, or by a name.

void = [0, 255]           # values that count for nothing; by default 255
offset = -1               # class = value + offset
others = "void"           # values that nothing else says; by default they are an error
[classes]                 # values that the rule above is wrong for: class by index or name
255 = "person"
[colours]                 # of masks that hold colours: "#rrggbb" = class or "void"
"#ff0000" = 1
"""

import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from export.artifact.classes import VOID
from export.common.errors import DataError, unknown
from export.common.files import file_text
from export.common.validation import first_wrong
from validate.samples.label_map import AS_THEY_ARE, LABEL_MAPS, Colour, LabelMap


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
        raise DataError(f"label map {source}: {first_wrong(error)}") from error
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
