"""COCO's instances JSON, mapped to the 20 VOC classes as torchvision's reference does.

The mapping is CAT_LIST of references/segmentation/coco_utils.py. torchvision evaluates on all
images of val2017, also on those without any of the 20 classes, and trains on those where they
take more than 1000 pixels. Here images without them are left out, unless the split ends in
`+empty`, which gives torchvision's list for evaluation.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from export.artifact.classes import VOC_CLASSES
from export.common.errors import DataError, first_line
from export.common.files import read_file
from export.common.names import is_inside
from validate.data.instances import Instance, Instances, require_pycocotools
from validate.data.items import Dataset, Item, refuse_absent, refuse_repeats

OTHER_NAMES = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "diningtable": "dining table",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""What COCO calls VOC's classes, where it calls them something else."""

CATEGORY_IDS = (0, 5, 2, 16, 9, 44, 6, 3, 17, 62, 21, 67, 18, 19, 4, 1, 64, 20, 63, 7, 72)
"""COCO's category id of each VOC class; background is none of them."""

EMPTY = "+empty"
_LABELS = {category: label for label, category in enumerate(CATEGORY_IDS) if label}


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Image(_Part):
    id: int
    file_name: str
    height: int = Field(ge=1)
    width: int = Field(ge=1)


class _Annotation(_Part):
    """`segmentation` is looked at when it is drawn; only VOC's classes need one."""

    id: int
    image_id: int
    category_id: int
    segmentation: Any = None


class _Category(_Part):
    id: int
    name: str


class _Content(_Part):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


@dataclass(frozen=True)
class _Source:
    """An annotation file, its folder of images, and how the two are named in results."""

    file: Path
    images: Path
    name: str
    split: str
    with_empty: bool


def coco_root(root: Path) -> Path | None:
    """Return `root` if it is an instances JSON, or a folder with annotations/instances_*.json."""
    if root.is_file():
        return root if root.suffix == ".json" else None
    return root if any((root / "annotations").glob("instances_*.json")) else None


def read_coco(root: Path, split: str, masks: bool) -> Dataset:
    """List the images of ROOT:SPLIT (`val2017`; `val` finds it) or FILE.json[:IMAGES_DIR].

    In the order of their ids. Raises DataError for a file that is no instances JSON and, with
    `masks`, when pycocotools is not there.
    """
    if masks:
        require_pycocotools()
    source = _source(root, split)
    images, shapes = _load(source.file)
    chosen = [image for image in images if source.with_empty or image.id in shapes]
    items = tuple(
        Item(
            Path(image.file_name).with_suffix("").as_posix(),
            source.images / image.file_name,
            _label(image, shapes.get(image.id, [])) if masks else None,
        )
        for image in sorted(chosen, key=lambda image: image.id)
    )
    refuse_repeats(source.file, (item.id for item in items))
    refuse_absent(source.file, source.file.name, items)
    return Dataset(source.name, source.split, items)


def _label(image: _Image, shapes: list[Instance]) -> Instances:
    return Instances((image.height, image.width), len(VOC_CLASSES), tuple(shapes))


def _source(root: Path, split: str) -> _Source:
    name = split.removesuffix(EMPTY)
    with_empty = name != split
    if root.is_file():
        images = _images_of(root, name)
        return _Source(root, images, root.stem, "all" + EMPTY * with_empty, with_empty)
    files = sorted((root / "annotations").glob(f"instances_{name}*.json"))
    exact = [file for file in files if file.stem == f"instances_{name}"]
    if len(exact or files) != 1:
        known = sorted(file.stem for file in (root / "annotations").glob("instances_*.json"))
        raise DataError(
            f"data {root}: no one split '{name}'; there: "
            f"{', '.join(stem.removeprefix('instances_') for stem in known)}"
        )
    file = (exact or files)[0]
    which = file.stem.removeprefix("instances_")
    return _Source(
        file, _images_of(file, ""), root.resolve().name, which + EMPTY * with_empty, with_empty
    )


def _images_of(file: Path, folder: str) -> Path:
    """Return the folder given, or the one that COCO's own names say."""
    split = file.stem.removeprefix("instances_")
    beside = (file.parent.parent / split, file.parent / split, file.parent / "images")
    tried = (file.parent / folder, Path(folder)) if folder else beside
    for path in tried:
        if path.is_dir():
            return path
    raise DataError(
        f"data {file}: no folder of images at {' or '.join(map(str, tried))}; name it as "
        f"{file.name}:IMAGES_DIR"
    )


def _load(file: Path) -> tuple[list[_Image], dict[int, list[Instance]]]:
    """Return the images, and of each the instances of VOC classes in the order of the file."""
    shapes: dict[int, list[Instance]] = {}
    try:
        content = _Content.model_validate(json.loads(read_file(file)))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"data {file}: not an instances file of COCO ({where}: {first['msg']})"
        ) from None
    except (DataError, ValueError, RecursionError) as error:
        raise DataError(
            f"data {file}: not an instances file of COCO ({first_line(error)})"
        ) from error
    _refuse_other_categories(file, content.categories)
    for image in content.images:
        if not is_inside(image.file_name):
            raise DataError(
                f"data {file}: file_name '{image.file_name}' leads out of the folder of images"
            )
    for annotation in content.annotations:
        if (label := _LABELS.get(annotation.category_id)) is not None:
            if "segmentation" not in annotation.model_fields_set:
                raise DataError(
                    f"data {file}: not an instances file of COCO (annotation {annotation.id} has "
                    "no segmentation)"
                )
            one = Instance(annotation.id, label, annotation.segmentation)
            shapes.setdefault(annotation.image_id, []).append(one)
    return content.images, shapes


def _refuse_other_categories(file: Path, categories: list[_Category]) -> None:
    """Ids alone would take another data set's category 5 for an aeroplane."""
    names = {category.id: category.name for category in categories}
    for category, label in _LABELS.items():
        name = OTHER_NAMES.get(VOC_CLASSES[label], VOC_CLASSES[label])
        if names.get(category, name) != name:
            raise DataError(
                f"data {file}: category {category} is '{names[category]}', in COCO it is '{name}'; "
                "only COCO's own categories are mapped to VOC classes"
            )
