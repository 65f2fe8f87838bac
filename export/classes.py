"""Class names and colours."""

from pathlib import Path

from export.errors import DataError
from export.names import first_odd

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


def read_classes(source: str) -> list[str]:
    """Return class names for `source`: "voc", or a text file with one name per line.

    Raises DataError for an unreadable file, fewer than 2 or more than 255 names, a name given
    twice, or one with control characters.
    """
    if source == "voc":
        return list(VOC_CLASSES)
    try:
        lines = Path(source).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise DataError(
            f"class names: cannot read {source} ({reason}); give 'voc' or a text file with one "
            "name per line"
        ) from error
    names = [line.strip() for line in lines if line.strip()]
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(f"class names: {source} holds {len(names)}, needed are 2 to {MAX_CLASSES}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"class names: {source} gives {', '.join(repeated)} more than once")
    if (odd := first_odd(names)) is not None:
        raise DataError(f"class names: {source} holds control characters in '{odd}'")
    return names
