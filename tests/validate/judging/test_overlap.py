import hashlib
import shutil
from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from export.artifact.manifest import ImageRef
from export.common.errors import DataError
from tests.validate.fakes import save_rgb
from validate.data.datasets import open_dataset
from validate.data.items import Dataset
from validate.judging.overlap import overlapping, refuse_overlap


def _used(artifact: Artifact, **images: Path) -> Artifact:
    """`artifact` as if it had been calibrated on `images`."""
    refs = tuple(
        ImageRef(id=name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for name, path in images.items()
    )
    return Artifact(artifact.path, artifact.manifest.model_copy(update={"images": refs}))


@pytest.fixture
def pictures(tmp_path: Path) -> Dataset:
    for index, name in enumerate(("a", "b", "c")):
        save_rgb(tmp_path / f"pictures/{name}.png", [[[index, 0, 0]]])
    return open_dataset(str(tmp_path / "pictures"), "val")


def test_no_calibration_image_no_overlap(tiny: Artifact, pictures: Dataset, tmp_path: Path) -> None:
    save_rgb(tmp_path / "other.png", [[[9, 9, 9]]])
    assert overlapping([tiny.manifest], pictures) == []
    assert overlapping([_used(tiny, other=tmp_path / "other.png").manifest], pictures) == []


def test_overlap_with_any_of_the_artifacts_is_found(tiny: Artifact, pictures: Dataset) -> None:
    first = _used(tiny, a=pictures.items[0].image)
    second = _used(tiny, c=pictures.items[2].image)
    assert overlapping([first.manifest, second.manifest], pictures) == ["a", "c"]


def test_a_copy_under_another_name_is_recognised(
    tiny: Artifact, pictures: Dataset, tmp_path: Path
) -> None:
    shutil.copy(pictures.items[1].image, tmp_path / "renamed.png")
    calibrated = _used(tiny, renamed=tmp_path / "renamed.png")
    assert overlapping([calibrated.manifest], pictures) == ["b"]


def test_another_picture_of_the_same_name_is_none(
    tiny: Artifact, pictures: Dataset, tmp_path: Path
) -> None:
    save_rgb(tmp_path / "a.png", [[[200, 200, 200]]])
    calibrated = _used(tiny, a=tmp_path / "a.png")
    assert overlapping([calibrated.manifest], pictures) == []


def test_overlap_is_refused_unless_allowed(pictures: Dataset) -> None:
    with pytest.raises(DataError, match=r"2 of 3 images .*the first is b\).*--allow-overlap"):
        refuse_overlap(["b", "c"], pictures, allowed=False)
    refuse_overlap(["b", "c"], pictures, allowed=True)
    refuse_overlap([], pictures, allowed=False)
