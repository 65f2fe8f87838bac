"""A small data set as COCO lays it out: annotations/instances_val2017.json and val2017/."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.validate.fakes import save_rgb

NAMES = {1: "person", 3: "car", 5: "airplane", 22: "elephant", 62: "chair", 72: "tv"}
"""Some of COCO's categories; VOC has no elephant."""

HEIGHT, WIDTH = 10, 12


def box(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
    """A polygon around the pixels left..right-1, top..bottom-1."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def crowd(*rows: str) -> dict[str, Any]:
    """Uncompressed run lengths of a mask drawn with `#`: column by column, zeros first."""
    mask = np.array([[c == "#" for c in row] for row in rows])
    runs, current = [0], False
    for pixel in mask.T.reshape(-1):
        if pixel != current:
            runs.append(0)
            current = bool(pixel)
        runs[-1] += 1
    return {"counts": runs, "size": list(mask.shape)}


def instance(image: int, category: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    """An annotation; its id is added by `write_coco`."""
    return {"image_id": image, "category_id": category, "segmentation": segmentation, **more}


def write_coco(
    root: Path, annotations: Sequence[dict[str, Any]], images: Sequence[int] = (7, 3, 5)
) -> Path:
    """Write `root`; images are listed in the order given, which is not that of their ids."""
    rng = np.random.default_rng(0)
    for image in images:
        save_rgb(root / f"val2017/{image:012d}.jpg", rng.integers(0, 256, (HEIGHT, WIDTH, 3)))
    content = {
        "images": [
            {"id": i, "file_name": f"{i:012d}.jpg", "height": HEIGHT, "width": WIDTH}
            for i in images
        ],
        "annotations": [{"id": 100 + i, **one} for i, one in enumerate(annotations)],
        "categories": [{"id": i, "name": name} for i, name in NAMES.items()],
    }
    file = root / "annotations/instances_val2017.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content))
    return root
