"""Class names and colours."""

import os
from pathlib import Path

from export.common.errors import DataError
from export.common.files import file_text
from export.common.names import first_odd

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
CITYSCAPES_CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
    "motorcycle", "bicycle",
)  # fmt: skip
"""The 19 classes that are evaluated, by trainId."""
CAMVID_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car",
    "pedestrian", "bicyclist",
)  # fmt: skip
"""The 11 classes of SegNet's version, whose masks have 11 for unlabelled."""
ADE20K_CLASSES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass",
    "cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain",
    "chair", "car", "water", "painting", "sofa", "shelf", "house", "sea", "mirror", "rug",
    "field", "armchair", "seat", "fence", "desk", "rock", "wardrobe", "lamp", "bathtub",
    "railing", "cushion", "base", "box", "column", "signboard", "chest of drawers", "counter",
    "sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path", "stairs",
    "runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge",
    "bookcase", "blind", "coffee table", "toilet", "flower", "book", "hill", "bench",
    "countertop", "stove", "palm", "kitchen island", "computer", "swivel chair", "boat", "bar",
    "arcade machine", "hovel", "bus", "towel", "light", "truck", "tower", "chandelier", "awning",
    "streetlight", "booth", "television receiver", "airplane", "dirt track", "apparel", "pole",
    "land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster", "stage", "van",
    "ship", "fountain", "conveyer belt", "canopy", "washer", "plaything", "swimming pool",
    "stool", "barrel", "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball",
    "food", "step", "tank", "trade name", "microwave", "pot", "animal", "bicycle", "lake",
    "dishwasher", "screen", "blanket", "sculpture", "hood", "sconce", "vase", "traffic light",
    "tray", "ashcan", "fan", "pier", "crt screen", "plate", "monitor", "bulletin board", "shower",
    "radiator", "glass", "clock", "flag",
)  # fmt: skip
"""The 150 classes of the scene parsing benchmark, in its order without background."""
PRESETS: dict[str, tuple[str, ...]] = {
    "voc": VOC_CLASSES,
    "cityscapes": CITYSCAPES_CLASSES,
    "camvid": CAMVID_CLASSES,
    "ade20k": ADE20K_CLASSES,
}
VOID = 255
"""Label of pixels that count for nothing: the border VOC draws around objects."""

MAX_CLASSES = VOID


def palette(classes: int) -> list[tuple[int, int, int]]:
    """Return the VOC colour of each class index, 0-255 RGB.

    The devkit's rule: the bits of the index, three at a time, become the bits of R, G and B
    from the most significant down.
    """
    colours = []
    for index in range(classes):
        rgb = [0, 0, 0]
        for shift in range(8):
            for channel in range(3):
                rgb[channel] |= (index >> (3 * shift + channel) & 1) << (7 - shift)
        colours.append((rgb[0], rgb[1], rgb[2]))
    return colours


BACKGROUND = VOC_CLASSES[0]


def read_classes(source: str, *, binary: bool = False) -> list[str]:
    """Return class names for `source`: a name of PRESETS, or a text file with one name per line.

    Also names with commas between them, where no such file is there, and a number of classes,
    which are then numbered. With `binary` a single name is that of the class beside background.
    Raises DataError for an unreadable file, fewer than 2 or more than 255 names, or a name
    given twice.
    """
    if source in PRESETS:
        return list(PRESETS[source])
    names = _spelt_out(source)
    names = _from_file(source) if names is None else names
    if binary and len(names) == 1:
        names = [BACKGROUND, *names]
    return checked_names(names, source)


def checked_names(names: list[str], source: str) -> list[str]:
    """Return `names` as they are; raise DataError where they cannot be those of classes."""
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(f"class names: {source} holds {len(names)}, needed are 2 to {MAX_CLASSES}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"class names: {source} gives {', '.join(repeated)} more than once")
    if (odd := first_odd(names)) is not None:
        raise DataError(f"class names: {source} holds control characters in '{odd}'")
    return names


def _spelt_out(source: str) -> list[str] | None:
    """Return the names that `source` itself says, None where it is that of a file."""
    # a long list is no path that pathlib would take
    if os.path.exists(source) or any(mark in source for mark in "./\\"):  # noqa: PTH110
        return None
    if source.isdecimal():
        return [f"class {index}" for index in range(min(int(source), MAX_CLASSES + 1))]
    return [name.strip() for name in source.split(",") if name.strip()] or None


def _from_file(source: str) -> list[str]:
    try:
        lines = file_text(Path(source)).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DataError(
            f"class names: cannot read {source} ({reason}); give {', '.join(PRESETS)}, names "
            "with commas between them, or a text file with one name per line"
        ) from error
    return [line.strip() for line in lines if line.strip()]
