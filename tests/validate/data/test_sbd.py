from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import SBDataset

from export.common.errors import DataError
from tests.validate.fakes import save_rgb
from validate.data.datasets import open_dataset
from validate.data.sbd import read_mat
from validate.samples.labels import read_mask

scipy_io = pytest.importorskip("scipy.io")

SIZE = (9, 14)


def _write_sbd(folder: Path, ids: tuple[str, ...] = ("2008_000002", "2008_000003")) -> Path:
    """SBD as its authors pack it; labels are structs of MATLAB."""
    rng = np.random.default_rng(0)
    (folder / "cls").mkdir(parents=True)
    for name in ids:
        save_rgb(folder / f"img/{name}.jpg", rng.integers(0, 256, (*SIZE, 3)))
        label = rng.integers(0, 21, SIZE).astype(np.uint8)
        content = {"Segmentation": label, "CategoriesPresent": np.unique(label)}
        scipy_io.savemat(folder / f"cls/{name}.mat", {"GTcls": content})
    (folder / "train.txt").write_text("\n".join(ids) + "\n")
    (folder / "val.txt").write_text(f"{ids[0]}\n")
    return folder


def test_labels_are_those_that_torchvision_reads(tmp_path: Path) -> None:
    folder = _write_sbd(tmp_path / "SBD")
    theirs = SBDataset(str(folder), "train", mode="segmentation")
    ours = open_dataset(f"{folder}:train", "val")
    assert (ours.name, ours.split, len(ours.items)) == ("SBD", "train", 2)
    for item, (image, label) in zip(ours.items, theirs, strict=True):
        assert np.asarray(label).max() > 0
        np.testing.assert_array_equal(read_mask(item, SIZE, 21), np.asarray(label))
        np.testing.assert_array_equal(Image.open(item.image), np.asarray(image))


def test_the_authors_folder_and_those_above_it_are_the_same_data(tmp_path: Path) -> None:
    root = tmp_path / "benchmark_RELEASE"
    inner = open_dataset(str(_write_sbd(root / "dataset")), "val")
    assert [item.id for item in inner.items] == ["2008_000002"]
    for above in (root, tmp_path):
        assert open_dataset(str(above), "val") == inner


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split 'trainaug'; there: train, val"):
        open_dataset(f"{_write_sbd(tmp_path)}:trainaug", "val")


def test_listed_files_must_be_there(tmp_path: Path) -> None:
    folder = _write_sbd(tmp_path)
    (folder / "cls/2008_000003.mat").unlink()
    with pytest.raises(DataError, match=r"1 files listed in train\.txt are absent.*0003\.mat"):
        open_dataset(f"{folder}:train", "val")
    assert not open_dataset(f"{folder}:train", "val", masks=False).labelled


@pytest.mark.parametrize("content", [b"", b"no matlab file" * 20])
def test_a_damaged_mat_is_named(tmp_path: Path, content: bytes) -> None:
    folder = _write_sbd(tmp_path)
    (folder / "cls/2008_000002.mat").write_bytes(content)
    (item,) = open_dataset(f"{folder}:val", "val").items
    with pytest.raises(DataError, match=r"image 2008_000002: .*2008_000002\.mat"):
        read_mask(item, SIZE, 21)


def test_a_mat_of_something_else_is_named(tmp_path: Path) -> None:
    folder = _write_sbd(tmp_path)
    scipy_io.savemat(folder / "cls/2008_000002.mat", {"GTinst": np.zeros(3)})
    (item,) = open_dataset(f"{folder}:val", "val").items
    with pytest.raises(DataError, match=r"image 2008_000002: .*not one of SBD's"):
        read_mask(item, SIZE, 21)


def test_the_reader_equals_scipys(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(40):
        size = tuple(rng.integers(1, 12, 2))
        dtype = rng.choice(["u1", "u2", "i4", "f8"])
        content = {
            "Boundaries": np.ones(3),
            "Segmentation": rng.integers(0, 256 if number % 2 else 2, size).astype(dtype),
            "CategoriesPresent": np.arange(number % 5),
        }
        file = tmp_path / "x.mat"
        scipy_io.savemat(file, {"other": 1, "GTcls": content}, do_compression=bool(number % 3 == 0))
        theirs = scipy_io.loadmat(file)["GTcls"]["Segmentation"][0, 0]
        np.testing.assert_array_equal(read_mat(file), theirs)


@pytest.mark.parametrize("values", [[[256]], [[-1]], [[0.5]], [[[1], [2]]]])
def test_what_is_no_picture_of_classes_is_refused(tmp_path: Path, values: object) -> None:
    file = tmp_path / "x.mat"
    scipy_io.savemat(file, {"GTcls": {"Segmentation": np.array(values)}})
    with pytest.raises(DataError, match="not one of SBD's"):
        read_mat(file)
