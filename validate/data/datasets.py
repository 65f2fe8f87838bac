"""Open a data set of any kind that `validate.data.layouts` knows."""

from dataclasses import replace
from pathlib import Path

from export.common.errors import DataError
from export.common.files import exists
from export.common.remote import RemotePath, forget, location
from validate.data.folders import refuse_unseen_labels
from validate.data.items import Dataset, refuse_irregular, refuse_unsafe
from validate.data.layouts import LAYOUTS


def open_dataset(
    source: str, default_split: str, *, masks: bool = True, suffix: str | None = None
) -> Dataset:
    """Open `source`: ROOT[:SPLIT] of a known data set, or a folder with or without masks.

    Also FILE.json[:IMAGES_DIR] of COCO, and FILE.csv with pairs. `suffix` is what the names of
    masks in folders have after those of images. `default_split` applies where ROOT names none. With
    `masks` False labels are neither needed nor looked up. Raises DataError when the folder
    does not hold what it should.
    """
    try:
        return _opened(source, default_split, masks, suffix)
    except OSError as error:
        raise DataError(f"data {source}: cannot read it ({error.strerror})") from error


def _opened(source: str, default_split: str, masks: bool, suffix: str | None) -> Dataset:
    forget()
    root, split = parse_source(source)
    if not exists(root):
        raise DataError(f"data {source}: no such folder")
    if not root.is_dir() and root.suffix.lower() not in (".json", ".csv"):
        raise DataError(
            f"data {source}: a file; give its folder, an instances JSON of COCO, or a CSV of pairs"
        )
    default = default_split if root.is_dir() else ""
    for layout in LAYOUTS.values():
        if (home := layout.recognise(root)) is not None:
            if split is not None and not layout.has_splits:
                raise DataError(f"data {source}: {root} has no splits, leave out ':{split}'")
            if suffix is not None and not layout.by_name:
                raise DataError(
                    f"data {source}: --mask-suffix goes with folders of images and masks"
                )
            if masks and layout.bare and home != root:
                refuse_unseen_labels(home)
            more = (suffix,) if layout.by_name else ()
            dataset = layout.read(home, split or default, masks, *more)
            if not dataset.items:
                raise DataError(f"data {source}: no images in {home}")
            refuse_unsafe(home, (item.id for item in dataset.items))
            refuse_irregular(home, dataset.items)
            return replace(dataset, name=str(home)) if isinstance(home, RemotePath) else dataset
    there_is = (f"{layout.name} ({layout.help})" for layout in LAYOUTS.values())
    raise DataError(f"data {source}: none of {', '.join(there_is)}, and no images in it")


def parse_source(source: str) -> tuple[Path, str | None]:
    """Return path and split of ROOT[:SPLIT]; a path that exists is never taken apart."""
    scheme, slashes, rest = source.rpartition("://")
    host, slash, path = rest.partition("/") if slashes else ("", "", rest)
    path, separator, split = path.rpartition(":")
    root = f"{scheme}{slashes}{host}{slash}{path}"
    if separator and root and not location(source).exists():
        return location(root), split
    return location(source), None
