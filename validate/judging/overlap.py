"""No artifact is judged on images that shaped it."""

from collections.abc import Iterable

from export.artifact.manifest import Manifest
from export.common.errors import DataError
from validate.data.items import Dataset


def overlapping(manifests: Iterable[Manifest], dataset: Dataset) -> list[str]:
    """Return ids of the data set's images that influenced one of the artifacts.

    Images are recognised by the sha256 of their file: a copy under another name counts, and
    another picture that happens to have the same name does not.
    """
    return _among({image.sha256 for m in manifests for image in m.images}, dataset)


def same_files(calibration: Dataset, dataset: Dataset) -> list[str]:
    """Return ids of the data set's images that are also in `calibration`."""
    return _among({item.image_sha256 for item in calibration.items}, dataset)


def _among(digests: set[str], dataset: Dataset) -> list[str]:
    if not digests:
        return []
    return [item.id for item in dataset.items if item.image_sha256 in digests]


def refuse_overlap(ids: list[str], dataset: Dataset, allowed: bool) -> None:
    """Raise DataError when images overlap and that was not allowed explicitly."""
    if ids and not allowed:
        raise DataError(
            f"data {dataset.name}:{dataset.split}: {len(ids)} of {len(dataset.items)} images were "
            f"used to calibrate an artifact (the first is {ids[0]}); validate on others, or give "
            "--allow-overlap, which marks the result"
        )
