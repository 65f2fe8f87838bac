"""A CSV of pairs: an image and its mask in each line, relative to the file.

The first line may name the columns; those called image and mask count, else the first two.
"""

import csv
from io import StringIO
from pathlib import Path, PurePath

from export.common.errors import DataError
from export.common.files import file_bytes
from validate.data.items import Dataset, Item, refuse_absent, refuse_repeats

COLUMNS = ("image", "mask")


def listing_root(root: Path) -> Path | None:
    """Return `root` if it is a .csv."""
    return root if root.is_file() and root.suffix.lower() == ".csv" else None


def read_listing(root: Path, split: str, masks: bool) -> Dataset:
    """List the pairs in their order. Without a column of masks they are unlabelled."""
    try:
        text = StringIO(file_bytes(root).decode("utf-8-sig"), newline="")
        rows = [row for row in csv.reader(text) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"data {root}: cannot read it as CSV ({error})") from error
    columns, rows = _columns(rows)
    for row in rows:
        if not PurePath(row[columns[0]].strip() if columns[0] < len(row) else "").name:
            raise DataError(f"data {root}: a line names no image: {','.join(row)[:80]!r}")
    pairs = [tuple(row[c].strip() if c < len(row) else "" for c in columns) for row in rows]
    named = _ids([image for image, *_ in pairs])
    items = tuple(
        Item(id, root.parent / image, root.parent / mask[0] if masks and any(mask) else None)
        for id, (image, *mask) in zip(named, pairs, strict=True)
    )
    refuse_repeats(root, (item.id for item in items))
    refuse_absent(root, root.name, items)
    bare = [item.id for item in items if item.mask is None]
    if masks and bare and len(bare) < len(items):
        raise DataError(f"data {root}: {len(bare)} lines have no mask, the first is {bare[0]}")
    return Dataset(root.stem, "all", items)


def _columns(rows: list[list[str]]) -> tuple[list[int], list[list[str]]]:
    """Return the columns of image and mask, and the rows without the one that names them."""
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    if COLUMNS[0] in head:
        return [head.index(name) for name in COLUMNS if name in head], rows[1:]
    return [0, 1], rows


def _ids(images: list[str]) -> list[str]:
    """Return the stems of the images; where some are alike, with their folders before them."""
    stems = [PurePath(image).stem for image in images]
    if len(set(stems)) == len(stems):
        return stems
    paths = [PurePath(image).with_suffix("") for image in images]
    return ["_".join(p for p in path.parts if p not in ("..", path.anchor)) for path in paths]
