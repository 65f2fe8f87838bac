"""One picture that shows scenes, labels and what each artifact makes of them."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from export.artifact.artifact import Artifact
from export.common.files import new_files, scratch_folder
from validate.data.items import Dataset
from validate.predict.prediction import predict
from validate.samples.samples import read_image

_CELL = (240, 180)
_HEADER = 24
_GAP = 4


def draw_comparison(scenes: Dataset, artifacts: Sequence[Artifact], file: Path) -> Path:
    """Write a PNG with a row per labelled scene: scene, label, then each artifact's mask.

    Masks are in VOC's colours.
    """
    width, height = _CELL
    titles = ["scene", "label", *(a.manifest.id for a in artifacts)]
    sheet = Image.new(
        "RGB",
        (len(titles) * (width + _GAP) - _GAP, _HEADER + len(scenes.items) * (height + _GAP) - _GAP),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        where = (column * (width + _GAP) + width // 2, _HEADER // 2)
        draw.text(where, title, "black", ImageFont.load_default(16), anchor="mm")
    pictures = [*_scenes_and_labels(scenes), *(_masks(scenes, a) for a in artifacts)]
    for column, cells in enumerate(pictures):
        for row, cell in enumerate(cells):
            place = (column * (width + _GAP), _HEADER + row * (height + _GAP))
            resampling = Image.Resampling.NEAREST if column else Image.Resampling.BILINEAR
            sheet.paste(cell.resize(_CELL, resampling), place)
    with new_files(file) as (temporary,):
        sheet.quantize(256).save(temporary, "PNG", optimize=True)
    return file


def _scenes_and_labels(scenes: Dataset) -> tuple[list[Image.Image], list[Image.Image]]:
    pictures = [read_image(item)[0] for item in scenes.items]
    labels = [
        Image.open(item.mask).convert("RGB") for item in scenes.items if isinstance(item.mask, Path)
    ]
    return pictures, labels


def _masks(scenes: Dataset, artifact: Artifact) -> list[Image.Image]:
    with scratch_folder() as scratch:
        predictions = [
            predict(artifact, item.image, Path(scratch)).images[0] for item in scenes.items
        ]
        return [Image.open(prediction.mask).convert("RGB") for prediction in predictions]
