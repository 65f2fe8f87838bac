"""Pictures to predict: single images, folders of them, and the frames of animated ones."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from export.common.errors import DataError, first_line
from export.common.files import exists, is_regular
from export.common.remote import RemotePath, forget
from validate.data.datasets import open_dataset
from validate.data.items import Item, refuse_unsafe
from validate.data.layouts import LAYOUTS
from validate.samples.decoding import open_picture
from validate.samples.samples import read_image

_STILL = frozenset({".jpg", ".jpeg", ".bmp"})
_MAYBE_ANIMATED = frozenset({".png", ".apng", ".webp", ".gif", ".tif", ".tiff"})
_SUFFIXES = _STILL | _MAYBE_ANIMATED
_VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv"})


@dataclass(frozen=True)
class Frame:
    """One picture. `id` is its path inside the source without ending, with slashes.

    `index` is the frame's number in an animated file, from 0; None in a still one.
    """

    id: str
    file: Path
    index: int | None = None


def find_frames(source: Path, out: Path) -> list[Frame]:
    """List the pictures of an image, a data set or a folder with its subfolders, in name order.

    What starts with a dot and what lies in `out` is left out. Raises DataError when there is
    none, for a video, when two pictures have one id, and when `out` is the folder itself.
    """
    forget()
    if not exists(source):
        raise DataError(f"{source}: no such image or folder")
    if is_regular(source):
        return _frames(source.stem, source)
    if not source.is_dir():
        raise DataError(f"{source}: neither a regular file nor a folder")
    if any(layout.recognise(source) for layout in LAYOUTS.values() if not layout.bare):
        items = open_dataset(str(source), "val", masks=False).items
        return [Frame(item.id, item.image) for item in items]
    if source.resolve() == out.resolve():
        raise DataError(
            f"{source}: its masks would lie among its images and be taken for such the next time; "
            "choose another folder with -o"
        )
    files = _files(source, out)
    if not files:
        raise DataError(f"{source}: no images in it")
    named = ((file.relative_to(source).with_suffix("").as_posix(), file) for file in files)
    frames = [frame for id, file in named for frame in _frames(id, file)]
    refuse_unsafe(source, (frame.id for frame in frames))
    _refuse_repeats(frames)
    return frames


def _files(source: Path, out: Path) -> list[Path]:
    files = []
    for file in sorted(source.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(source).parts)
        wanted = file.suffix.lower() in _SUFFIXES and is_regular(file)
        if wanted and not hidden and out.resolve() not in file.resolve().parents:
            files.append(file)
    return files


def _frames(id: str, file: Path) -> list[Frame]:
    if file.suffix.lower() in _VIDEOS:
        raise DataError(
            f"{file}: a video; take it apart with 'mkdir frames && ffmpeg -i {file} "
            "frames/%06d.png' and give that folder"
        )
    still = file.suffix.lower() in _STILL or isinstance(file, RemotePath)  # not read to be counted
    count = 1 if still else _count(file)
    if count == 1:
        return [Frame(id, file)]
    return [
        Frame(f"{id}-{index + 1:0{max(4, len(str(count)))}}", file, index) for index in range(count)
    ]


def _count(file: Path) -> int:
    """Return the number of frames; 1 for what cannot be read, which is said when it is."""
    try:
        with open_picture(file) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # PIL's decoders raise whatever damaged bytes provoke
        return 1


def _refuse_repeats(frames: Iterable[Frame]) -> None:
    seen: dict[str, Frame] = {}
    for frame in frames:
        other = seen.setdefault(frame.id, frame)
        if other is not frame:
            raise DataError(
                f"{other.file} and {frame.file} would both be written as {frame.id}; "
                "rename one of them or give them one at a time"
            )


class Reader:
    """Reads pictures; the frames of one file in order, without starting over for each."""

    def __init__(self, mode: str = "RGB") -> None:
        self._mode = mode
        self._file: Path | None = None
        self._image: Image.Image | None = None

    def __call__(self, frame: Frame) -> Image.Image:
        """Return the upright picture in the reader's mode; raise DataError if it is unreadable."""
        if frame.index is None:
            return read_image(Item(frame.id, frame.file, None), self._mode)[0]
        try:
            if self._image is None or self._file != frame.file:
                self.close()
                self._file, self._image = frame.file, open_picture(frame.file)
            self._image.seek(frame.index)
            return self._image.convert(self._mode)
        except Exception as error:  # PIL's decoders raise whatever damaged bytes provoke
            raise DataError(
                f"image {frame.id}: cannot read frame {frame.index + 1} of {frame.file} "
                f"({first_line(error)})"
            ) from error

    def close(self) -> None:
        """Close the animated file that is open."""
        if self._image is not None:
            self._image.close()
        self._image = None
