"""Decode images and labels, and prepare them as a protocol says."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from export.artifact.image import normalised
from export.artifact.manifest import ImageRef, Manifest
from export.artifact.sample import Origin, Sample
from export.common.errors import DataError, UsageError
from export.common.files import read_file
from validate.data.items import Dataset, Item
from validate.samples.decoding import decode, open_picture
from validate.samples.label_map import AS_THEY_ARE, Colour, LabelMap
from validate.samples.label_map_file import read_label_map
from validate.samples.labels import read_mask
from validate.samples.protocols import get_protocol

In = TypeVar("In")
Out = TypeVar("Out")
AHEAD = 3
"""Images prepared while another is computed."""


@dataclass(frozen=True)
class Labelled:
    """One prepared image. `label` uint8 (h, w) or None; `image_size` is the file's (h, w)."""

    sample: Sample
    label: NDArray[np.uint8] | None
    image_size: tuple[int, int]


def read_image(item: Item, mode: str = "RGB") -> tuple[Image.Image, str]:
    """Return the image, upright as EXIF says, and the sha256 of its file.

    `mode` is "RGB", "L" or "RGBA". Grey, palette, CMYK, 16-bit and transparent images will do;
    one without transparency is opaque. Raises DataError for a file that
    is damaged or no picture.
    """
    try:
        data = read_file(item.image)
        picture = decode(open_picture(BytesIO(data)), lambda picture_: _as_mode(picture_, mode))
        return picture, hashlib.sha256(data).hexdigest()
    except DataError as error:
        raise DataError(f"image {item.id}: cannot read {item.image} ({error})") from error


def _as_mode(picture: Image.Image, mode: str) -> Image.Image:
    """Convert any mode with a known range; RGB drops transparency, as torchvision does."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I;16"):  # convert() would clip it instead of scaling
        grey = np.rint(np.asarray(picture) / 257).astype(np.uint8)
        return Image.fromarray(grey).convert(mode)
    if picture.mode in ("I", "F"):
        raise ValueError(f"mode {picture.mode} has no white; save it with 8 or 16 bits per channel")
    return picture.convert(mode)


@dataclass(frozen=True)
class Preparation:
    """Turns items into network input for one kind of artifact under one protocol.

    `size` (height, width) means nothing to a protocol of variable size. `colours` are those of
    the classes in colour-coded masks, VOC's when empty. `mode` is PIL's name of the channels.
    `labels` says what the values of masks mean; with `fit` masks are resized to their images.
    """

    protocol: str
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int
    colours: tuple[Colour, ...] = ()
    mode: str = "RGB"
    labels: LabelMap = AS_THEY_ARE
    fit: bool = False

    @classmethod
    def for_artifact(
        cls, manifest: Manifest, protocol: str, labels: str | None = None, *, fit: bool = False
    ) -> "Preparation":
        """Take size, normalisation and classes from an artifact.

        `labels` is the name or file of a label map. Raises UsageError for a protocol of variable
        size and an artifact of a fixed one, DataError for a label map that is none.
        """
        if get_protocol(protocol).variable:
            _refuse_fixed(manifest, protocol)
        spec = manifest.input
        classes = len(manifest.classes)
        return cls(
            protocol,
            manifest.size,
            spec.mean,
            spec.std,
            classes,
            manifest.palette,
            spec.colour_order,
            read_label_map(labels, manifest.classes),
            fit,
        )

    def sample(self, item: Item) -> Sample:
        """Prepare the image alone."""
        picture, digest = read_image(item, self.mode)
        return self._sample(item, picture, digest)

    def labelled(self, item: Item) -> Labelled:
        """Prepare the image and, where there is one, its label."""
        picture, digest = read_image(item, self.mode)
        size = (picture.height, picture.width)
        label = None
        if item.mask is not None:
            mask = read_mask(item, size, self.classes, self.colours, self.labels, fit=self.fit)
            prepared = get_protocol(self.protocol).label(mask, self.size)
            label = np.asarray(prepared, dtype=np.uint8)
        return Labelled(self._sample(item, picture, digest), label, size)

    def tensor(self, picture: Image.Image) -> NDArray[np.float32]:
        """Return a picture as network input, (1, C, h, w)."""
        prepared = get_protocol(self.protocol).image(picture.convert(self.mode), self.size)
        return normalised(np.asarray(prepared), self.mean, self.std)

    def _sample(self, item: Item, picture: Image.Image, digest: str) -> Sample:
        return Sample(item.id, self.tensor(picture), digest)


def _refuse_fixed(manifest: Manifest, protocol: str) -> None:
    _, _, *fixed = manifest.input.shape
    if fixed == [None, None]:
        return
    verb = "import" if manifest.weights.how == "import" else "export"
    raise UsageError(
        f"protocol {protocol}: its images vary in size and {manifest.stem}.onnx takes "
        f"{'x'.join(str(side or 'any') for side in fixed)} only; {verb} it with --size dynamic"
    )


class Samples(Sequence[Sample]):
    """A data set as a sized, re-iterable sequence of prepared images, decoded when asked for."""

    def __init__(self, dataset: Dataset, preparation: Preparation) -> None:
        self._dataset = dataset
        self._items = dataset.items
        self._preparation = preparation

    @property
    def origin(self) -> Origin:
        """How the images were prepared and drawn."""
        return Origin(self._preparation.protocol, self._dataset.seed)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Samples": ...
    def __getitem__(self, index: int | slice) -> "Sample | Samples":
        if isinstance(index, slice):
            return Samples(replace(self._dataset, items=self._items[index]), self._preparation)
        return self._preparation.sample(self._items[index])

    def __iter__(self) -> Iterator[Sample]:
        return ahead(self._preparation.sample, self._items)

    def identities(self) -> list[ImageRef]:
        """Return what the samples' `id` and `sha256` are, without decoding an image."""
        return [ImageRef(id=item.id, sha256=item.image_sha256) for item in self._items]


def ahead(prepare: Callable[[In], Out], items: Iterable[In], depth: int = AHEAD) -> Iterator[Out]:
    """Yield `prepare(item)` in order, with `depth` of them computed in advance by a thread.

    Without a thread for 0.
    """
    if depth == 0:
        yield from map(prepare, items)
        return
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: deque[Future[Out]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(prepare, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
