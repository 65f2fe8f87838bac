"""Whoever counts, and whatever happens to them: nothing is lost, nothing counted twice."""

import shutil
from pathlib import Path

import pytest

from export.common.errors import ArtifactError, DataError, RuntimeUnavailableError, UsageError
from export.workers.engines import Workers
from tests.validate.counting.counts import IMAGES, Said, counted
from tests.validate.counting.faulty import FaultyJob
from validate.counting.job import File, Job
from validate.counting.kept import FOLDER
from validate.counting.sharded import count
from validate.data.datasets import open_dataset
from validate.data.items import Dataset


@pytest.mark.parametrize(
    "workers",
    [Workers("local"), *(Workers("processes", number) for number in (1, 2, 5))],
    ids=lambda workers: f"{workers.engine}-{workers.count}",
)
def test_all_count_the_same(
    job: Job, dataset: Dataset, wanted: str, tmp_path: Path, workers: Workers
) -> None:
    digest, said = counted(job, dataset, tmp_path, workers)
    assert digest == wanted
    assert (said.lines, said.done[0], said.done[-1]) == ([], 0, IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "reason"), [("kill", "killed"), ("hang", "took longer than 3 s")])
def test_a_worker_that_is_lost_is_replaced(
    job: Job, dataset: Dataset, wanted: str, tmp_path: Path, two: Workers, how: str, reason: str
) -> None:
    image = dataset.items[20].id  # in the middle of the second shard
    faulty = FaultyJob.of(job, tmp_path / "notes", image=image, how=how)
    few = Workers(two.engine, 2, seconds=3 if how == "hang" else 30, address=two.address)
    digest, said = counted(faulty, dataset, tmp_path, few)
    assert digest == wanted
    (line,) = said.lines
    near = dataset.items[16:22] if two.engine == "ray" else [dataset.items[21]]  # the one after
    assert reason in line and any(f"image {item.id} " in line for item in near)


@pytest.mark.slow
def test_what_ends_its_worker_again_and_again_is_named_and_the_rest_is_kept(
    job: Job, dataset: Dataset, wanted: str, tmp_path: Path, two: Workers
) -> None:
    faulty = FaultyJob.of(job, tmp_path / "notes", image=dataset.items[35].id, times=99)
    with pytest.raises(DataError, match=f"{dataset.items[36].id}: 3 workers ended at it"):
        count(faulty, dataset, tmp_path, two, Said())
    digest, said = counted(job, dataset, tmp_path, Workers("local"))
    assert digest == wanted
    (line,) = said.lines
    assert line.startswith(("16 of 40 images", "32 of 40 images"))


def test_a_corrupt_image_is_named(job: Job, dataset: Dataset, tmp_path: Path, two: Workers) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    items = list(dataset.items)
    items[17] = type(items[17])(items[17].id, broken, items[17].mask)
    with pytest.raises(DataError, match=f"image {items[17].id}: cannot read .*broken.jpg"):
        count(job, Dataset("broken", "val", tuple(items)), tmp_path, two, Said())


def test_finished_shards_are_not_counted_again_unless_damaged_or_of_other_images(
    job: Job, dataset: Dataset, wanted: str, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(dataset.items[0].image.parents[1], root)
    copied = open_dataset(str(root), "val")
    assert counted(job, copied, tmp_path, Workers("local"))[0] == wanted
    notes = FaultyJob.of(job, tmp_path / "notes")

    def again() -> list[str]:
        digest = counted(notes, copied, tmp_path, Workers("local"))[0]
        assert digest == wanted
        indexes = sorted(path.name.split("-")[1] for path in notes.notes.glob("counted-*"))
        shutil.rmtree(notes.notes)
        notes.notes.mkdir()
        return indexes

    assert again() == []
    kept = sorted((tmp_path / FOLDER).glob("*.npz"))
    assert len(kept) == 3
    for path in kept[:2]:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert len(again()) == 2
    copied.items[39].image.touch()
    assert again() == ["2"]


def test_a_file_that_is_another_by_now_is_refused(
    job: Job, dataset: Dataset, tmp_path: Path, two: Workers
) -> None:
    other = File(job.files["fp32"].path, "0" * 64, "ort-cpu")
    changed = Job({"fp32": other}, "fp32", job.preparation, job.manifest)
    with pytest.raises(ArtifactError, match="another file than the one that is judged"):
        count(changed, dataset, tmp_path, two, Said())


def test_workers_count_with_the_threads_that_were_asked_for(job: Job) -> None:
    with job.opened() as runtimes:
        session = runtimes["fp32"].engine.session  # type: ignore[attr-defined]
        assert session.get_session_options().intra_op_num_threads == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "rey"}, "did you mean 'ray'"),
        ({"engine": "local", "count": 2}, "is one worker"),
        ({"engine": "processes", "address": "auto"}, "address goes with ray"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Workers(**options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_no_cluster_is_one_line(job: Job, dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    workers = Workers("ray", address="127.0.0.1:1")
    with pytest.raises(RuntimeUnavailableError, match=r"--address .*: no Ray cluster"):
        count(job, dataset, tmp_path, workers, Said())
    assert not (tmp_path / FOLDER).exists()
