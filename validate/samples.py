"""Decode images and labels, and prepare them as a protocol says."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from export.artifact import ImageRef, Manifest, Sample
from export.classes import VOID
from export.errors import DataError
from export.files import sha256_of
from export.image import normalised
from validate.datasets import Dataset, Item
from validate.protocols import get_protocol

In = TypeVar("In")
Out = TypeVar("Out")
_INDEXED_MODES = ("P", "L", "1")
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What PIL raises for files that are damaged, no images, or too large to be any."""


@dataclass(frozen=True)
class Labelled:
    """One prepared image. `label` uint8 (h, w) or None; `image_size` is the file's (h, w)."""

    sample: Sample
    label: NDArray[np.uint8] | None
    image_size: tuple[int, int]


def read_image(item: Item) -> tuple[Image.Image, str]:
    """Return the upright RGB image and the sha256 of its file; any mode PIL knows will do."""
    try:
        data = item.image.read_bytes()
        with Image.open(BytesIO(data)) as file:
            upright = ImageOps.exif_transpose(file)
            return upright.convert("RGB"), hashlib.sha256(data).hexdigest()
    except _UNREADABLE as error:
        raise DataError(f"image {item.id}: cannot read {item.image} ({error})") from error


def read_mask(item: Item, size: tuple[int, int], classes: int) -> Image.Image:
    """Return the label image, mode L, one class index per pixel or 255.

    Raises DataError when it cannot be read, is no indexed image, has another size than its
    image (`size`, height and width) or holds other values.
    """
    try:
        with Image.open(item.mask or "") as file:
            file.load()
            mask = file.copy()
    except _UNREADABLE as error:
        raise DataError(f"image {item.id}: cannot read its mask {item.mask} ({error})") from error
    if mask.mode not in _INDEXED_MODES:
        raise DataError(
            f"image {item.id}: mask {item.mask} has mode {mask.mode}; needed is one class index "
            "per pixel (palette or grey PNG)"
        )
    if (mask.height, mask.width) != size:
        raise DataError(
            f"image {item.id}: mask is {mask.width}x{mask.height}, the image {size[1]}x{size[0]}"
        )
    indices = np.asarray(mask).astype(np.uint8)
    values = np.flatnonzero(np.bincount(indices.reshape(-1), minlength=256))
    wrong = [int(v) for v in values if v >= classes and v != VOID]
    if wrong:
        raise DataError(
            f"image {item.id}: mask {item.mask} holds {wrong[:5]}; allowed are 0-{classes - 1} and "
            f"{VOID}"
        )
    return Image.fromarray(indices)


@dataclass(frozen=True)
class Preparation:
    """Turns items into network input for one kind of artifact under one protocol."""

    protocol: str
    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: int

    @classmethod
    def for_artifact(cls, manifest: Manifest, protocol: str) -> "Preparation":
        """Take size and normalisation from an artifact."""
        get_protocol(protocol)
        spec = manifest.input
        return cls(protocol, manifest.size, spec.mean, spec.std, len(manifest.classes))

    def sample(self, item: Item) -> Sample:
        """Prepare the image alone."""
        picture, digest = read_image(item)
        return self._sample(item, picture, digest)

    def labelled(self, item: Item) -> Labelled:
        """Prepare the image and, where there is one, its label."""
        picture, digest = read_image(item)
        size = (picture.height, picture.width)
        label = None
        if item.mask is not None:
            mask = read_mask(item, size, self.classes)
            prepared = get_protocol(self.protocol).label(mask, self.size)
            label = np.asarray(prepared, dtype=np.uint8)
        return Labelled(self._sample(item, picture, digest), label, size)

    def _sample(self, item: Item, picture: Image.Image, digest: str) -> Sample:
        prepared = np.asarray(get_protocol(self.protocol).image(picture, self.size))
        return Sample(item.id, normalised(prepared, self.mean, self.std), digest)


class Samples(Sequence[Sample]):
    """A data set as a sized, re-iterable sequence of prepared images, decoded when asked for."""

    def __init__(self, dataset: Dataset, preparation: Preparation) -> None:
        self._items = dataset.items
        self._preparation = preparation

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self._preparation.sample(item) for item in self._items[index]]
        return self._preparation.sample(self._items[index])

    def __iter__(self) -> Iterator[Sample]:
        return ahead(self._preparation.sample, self._items)

    def identities(self) -> list[ImageRef]:
        """Return what the samples' `id` and `sha256` are, without decoding an image."""
        return [_identity(item) for item in self._items]


def _identity(item: Item) -> ImageRef:
    try:
        return ImageRef(id=item.id, sha256=sha256_of(item.image))
    except OSError as error:
        raise DataError(f"image {item.id}: cannot read {item.image} ({error})") from error


def ahead(prepare: Callable[[In], Out], items: Iterable[In], depth: int = 3) -> Iterator[Out]:
    """Yield `prepare(item)` in order, with `depth` of them computed in advance by a thread."""
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
