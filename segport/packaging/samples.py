"""Pictures that go along, with the mask that each variant is expected to give."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from export.common.progress import Progress, silent
from segport.demo.dataset import SERIES
from segport.demo.scenes import scene
from segport.packaging.variants import Variant
from validate.counting.evaluation import at_size
from validate.predict.frames import Reader, find_frames
from validate.predict.overlays import palette_image
from validate.runtime.runtimes import open_runtime
from validate.samples.protocols import DEFAULT_PROTOCOL
from validate.samples.samples import Preparation

COUNT = 3
RUNTIME = "ort-cpu"
"""What any receiver has. It computes float16 files in float32."""


@dataclass(frozen=True)
class Sample:
    """A picture as PNG, which every decoder reads alike, and masks by variant as palette PNG."""

    number: int
    picture: bytes
    masks: dict[str, bytes]

    @property
    def file(self) -> str:
        """The picture's path in the package."""
        return f"samples/{self.number}.png"

    def mask_file(self, variant: Variant) -> str:
        """The path of a variant's mask."""
        return f"samples/{self.number}-{variant.slug}.png"


def make_samples(
    variants: Sequence[Variant], source: Path | None, out: Path, progress: Progress = silent
) -> tuple[Sample, ...]:
    """Return the first pictures of `source`, an image or folder, or of the demo's scenes.

    What lies in `out` is none of them. Raises DataError for pictures that cannot be read.
    """
    preparation = Preparation.for_artifact(variants[0].manifest, DEFAULT_PROTOCOL)
    pictures = list(islice(_pictures(source, out, preparation.mode), COUNT))
    masks: dict[str, list[bytes]] = {}
    for done, variant in enumerate(variants, start=1):
        masks[variant.id] = list(_masks(variant, pictures))
        progress(done, len(variants))
    return tuple(
        Sample(index + 1, _png(picture), {id: found[index] for id, found in masks.items()})
        for index, picture in enumerate(pictures)
    )


def _masks(variant: Variant, pictures: Sequence[Image.Image]) -> Iterator[bytes]:
    """Yield what a variant gives for each picture, at the picture's size, as PNG."""
    engine = open_runtime(variant.artifact, RUNTIME).engine
    preparation = Preparation.for_artifact(variant.manifest, DEFAULT_PROTOCOL)
    colours = np.asarray(variant.manifest.palette, np.uint8)
    for picture in pictures:
        outputs = engine.outputs(preparation.tensor(picture))
        yield _png(palette_image(at_size(outputs, (picture.height, picture.width)), colours))


def _pictures(source: Path | None, out: Path, mode: str) -> Iterator[Image.Image]:
    if source is None:
        for number in range(COUNT):
            yield Image.fromarray(scene(number, SERIES["val"]).image).convert(mode)
        return
    reader = Reader(mode)
    for frame in find_frames(source, out):
        yield reader(frame)
    reader.close()


def _png(picture: Image.Image) -> bytes:
    data = BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()
