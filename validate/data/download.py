"""Fetch a data set through torchvision when its folder is not there yet."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from tarfile import TarError
from types import TracebackType
from typing import Any
from unittest import mock

from export.common.errors import DataError
from export.common.files import scratch_folder
from export.common.progress import Progress, silent
from export.common.remote import RemotePath
from validate.data.datasets import parse_source
from validate.data.sbd import EXTRA
from validate.data.voc import YEAR

_COCO = (
    "torchvision has no download for COCO; get val2017.zip and annotations_trainval2017.zip from "
    "https://cocodataset.org/#download and unpack both in one folder"
)
_FAILURES = (OSError, RuntimeError, HTTPException, TarError, EOFError)
"""What a broken network, a damaged archive or a full disk make torchvision raise."""


@dataclass(frozen=True)
class _Wanted:
    """`load(folder)` makes torchvision download from `url` and unpack, so that `made` is there.

    `made` is relative to the folder; `target` is where it belongs.
    """

    url: str
    made: Path
    target: Path
    load: Callable[[Path], object]


def fetch(source: str, default_split: str, progress: Progress = silent) -> None:
    """Download the data set that DATA `source` names, unless its folder is there.

    The folder's name says which: VOCdevkit (2012), VOCdevkit/VOC20xx (for 2007 `:test` has an
    archive of its own) or SBD. `progress` counts megabytes. Raises DataError for another name
    and when the download fails; nothing is left behind then.
    """
    root, split = parse_source(source)
    if isinstance(root, RemotePath) or root.exists():
        return
    wanted = _wanted(root, split or default_split)
    ground = next(folder for folder in wanted.target.absolute().parents if folder.is_dir())
    try:
        with scratch_folder(ground) as scratch, _reporting(progress):
            wanted.load(scratch)
            wanted.target.parent.mkdir(parents=True, exist_ok=True)
            (scratch / wanted.made).rename(wanted.target)
    except _FAILURES as error:
        raise DataError(
            f"--download {root}: cannot get {wanted.url} ({error}); download it elsewhere and "
            f"unpack it so that there is {wanted.target}"
        ) from error


def _wanted(root: Path, split: str) -> _Wanted:
    if YEAR.search(root.name) or root.name == "VOCdevkit":
        return _voc(root, split)
    if root.name.lower() == "sbd":
        return _sbd(root, split)
    if root.suffix == ".json" or "coco" in root.name.lower():
        raise DataError(f"--download {root}: {_COCO}")
    raise DataError(
        f"--download {root}: the folder's name says what to fetch, and it is not one of VOCdevkit, "
        "VOCdevkit/VOC2007 to VOC2012, or SBD"
    )


def _voc(root: Path, split: str) -> _Wanted:
    from torchvision.datasets import VOCSegmentation
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    year = root.name.removeprefix("VOC") if YEAR.search(root.name) else "2012"
    test = (year, split) == ("2007", "test")
    archive = DATASET_YEAR_DICT.get("2007-test" if test else year)
    if archive is None:
        raise DataError(f"--download {root}: there is VOC segmentation of 2007 to 2012 only")
    made = Path(archive["base_dir"])
    target = root / made.name if root.name == "VOCdevkit" else root
    if target.parts[-len(made.parts) :] != made.parts:
        raise DataError(
            f"--download {root}: the archive unpacks to {made}; name the folder .../{made}"
        )

    def load(folder: Path) -> object:
        subset = "test" if test else "val"
        return VOCSegmentation(folder, year, subset, download=True)

    return _Wanted(archive["url"], made, target, load)


def _sbd(root: Path, split: str) -> _Wanted:
    from torchvision.datasets import SBDataset

    if find_spec("scipy") is None:
        raise DataError(f"--download {root}: {EXTRA}")

    def load(folder: Path) -> object:
        made = folder / "sbd"
        subset = split if split == "train_noval" else "train"
        dataset = SBDataset(made, subset, mode="segmentation", download=True)
        (made / SBDataset.filename).unlink()
        shutil.rmtree(made / "benchmark_RELEASE")
        return dataset

    return _Wanted(SBDataset.url, Path("sbd"), root, load)


class _Megabytes:
    """Stands in for torchvision's progress bar, which cannot be turned off."""

    def __init__(self, report: Progress, total: int | None) -> None:
        self._report = report
        self._total = total or 0
        self._done = 0

    def __enter__(self) -> "_Megabytes":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def update(self, count: int) -> None:
        """Count bytes."""
        self._done += count
        self._report(self._done // 1_000_000, self._total // 1_000_000)


@contextmanager
def _reporting(progress: Progress) -> Iterator[None]:
    def bar(total: int | None = None, **options: Any) -> _Megabytes:
        return _Megabytes(progress, total)

    with mock.patch("torchvision.datasets.utils.tqdm", bar):
        yield
