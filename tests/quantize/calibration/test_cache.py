import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.artifact.artifact import Artifact
from export.artifact.manifest import ImageRef
from export.artifact.sample import Origin, Sample
from quantize.calibration.cache import collect_cached, default_folder
from quantize.calibration.channel_statistics import ChannelMinMax
from quantize.calibration.histogram import Histogram
from quantize.calibration.measurement import Measurement
from quantize.calibration.statistics import MeanMinMax, MinMax, PooledSum, Statistic
from quantize.calibration.tails import Tails
from validate.samples.samples import Samples

TENSOR = "hardtanh"


class Counted(list[Sample]):
    """Samples that know how often they were read."""

    reads = 0
    origin = Origin("squash")

    def __iter__(self) -> Iterator[Sample]:
        self.reads += 1
        return super().__iter__()

    def identities(self) -> list[ImageRef]:
        return [ImageRef(id=s.id, sha256=s.sha256) for s in super().__iter__()]


def _statistics() -> dict[str, list[Statistic]]:
    kinds = (MinMax, MeanMinMax, Histogram, partial(Tails, 0.01, 4), ChannelMinMax)
    return {tensor: [kind() for kind in kinds] for tensor in ("input", TENSOR)}


class Case:
    """One call of `collect_cached`, each of whose arguments can be another."""

    def __init__(self, tiny: Artifact, samples: Samples, folder: Path) -> None:
        self.model = onnx.load(tiny.path)
        self.artifact = tiny
        self.samples = Counted(samples)
        self.folder = folder
        self.statistics = _statistics

    def run(self) -> tuple[dict[str, list[Statistic]], bool, list[ImageRef]]:
        """Return the statistics, whether they came from the cache, and the images."""
        before = self.samples.reads
        statistics = self.statistics()
        images = collect_cached(
            [Measurement(self.model, statistics)],
            self.artifact,
            self.samples,
            folder=self.folder,
        )
        return statistics, self.samples.reads == before, images


@pytest.fixture
def case(tiny: Artifact, samples: Samples, tmp_path: Path) -> Case:
    return Case(tiny, samples, tmp_path / "cache")


def _assert_equal(found: dict[str, list[Statistic]], expected: dict[str, list[Statistic]]) -> None:
    assert found.keys() == expected.keys()
    for tensor, statistics in expected.items():
        for one, other in zip(found[tensor], statistics, strict=True):
            state = other.state()
            assert one.key == other.key and one.state().keys() == state.keys()
            for name, array in state.items():
                np.testing.assert_array_equal(one.state()[name], array)


def test_the_second_time_nothing_is_run_and_all_is_the_same(case: Case) -> None:
    first, hit, images = case.run()
    assert not hit and [i.id for i in images] == [s.id for s in case.samples]
    second, hit, images = case.run()
    assert hit and [(i.id, i.sha256) for i in images] == [(s.id, s.sha256) for s in case.samples]
    _assert_equal(second, first)
    assert np.isfinite(first[TENSOR][0].state()["extremes"]).all()


def test_progress_ends_complete_also_from_the_cache(case: Case) -> None:
    case.run()
    seen = []
    collect_cached(
        [Measurement(case.model, _statistics())],
        case.artifact,
        case.samples,
        folder=case.folder,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(4, 4)]


def test_the_order_of_images_and_of_statistics_does_not_matter(case: Case) -> None:
    first, _, _ = case.run()
    case.samples = Counted(reversed(case.samples))
    case.statistics = lambda: {t: s[::-1] for t, s in reversed(_statistics().items())}
    second, hit, images = case.run()
    assert hit and [i.id for i in images] == [s.id for s in case.samples]
    _assert_equal({t: second[t][::-1] for t in first}, first)


def _change_a_weight(case: Case) -> None:
    weight = case.model.graph.initializer[0]
    values = numpy_helper.to_array(weight).copy()
    values.reshape(-1)[0] = np.nextafter(values.reshape(-1)[0], np.inf)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))


def _change_an_image(case: Case) -> None:
    case.samples[1] = case.samples[1]._replace(sha256="0" * 64)


def _rename_an_image(case: Case) -> None:
    case.samples[1] = case.samples[1]._replace(id="other")


def _leave_out_an_image(case: Case) -> None:
    del case.samples[-1]


def _repeat_an_image(case: Case) -> None:
    case.samples.append(case.samples[0])


def _change_manifest(case: Case, **changed: Any) -> None:
    spec = case.artifact.manifest.input.model_copy(update=changed)
    manifest = case.artifact.manifest.model_copy(update={"input": spec})
    case.artifact = replace(case.artifact, manifest=manifest)


def _change_mean(case: Case) -> None:
    _change_manifest(case, mean=(0.485, 0.456, 0.4061))


def _change_std(case: Case) -> None:
    _change_manifest(case, std=(0.229, 0.224, 0.2251))


def _change_protocol(case: Case) -> None:
    case.samples.origin = Origin("center-crop")


def _change_a_kind(case: Case) -> None:
    case.statistics = lambda: {t: [MinMax(), PooledSum((2, 3))] for t in _statistics()}


def _change_tensors(case: Case) -> None:
    case.statistics = lambda: {"input": _statistics()["input"]}


@pytest.mark.parametrize(
    "change",
    [
        _change_a_weight,
        _change_an_image,
        _rename_an_image,
        _leave_out_an_image,
        _repeat_an_image,
        _change_mean,
        _change_std,
        _change_protocol,
        _change_a_kind,
        _change_tensors,
    ],
)
def test_whatever_bears_on_the_result_is_in_the_key(
    case: Case, change: Callable[[Case], None]
) -> None:
    case.run()
    change(case)
    assert not case.run()[1]
    assert case.run()[1]
    assert len(list(case.folder.iterdir())) == 2


def test_parameters_of_a_statistic_are_in_the_key(case: Case) -> None:
    for axes in ((2, 3), (3,)):
        case.statistics = lambda axes=axes: {TENSOR: [PooledSum(axes)]}  # type: ignore[misc]
        assert not case.run()[1]


def test_versions_are_in_the_key(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.run()
    monkeypatch.setattr("quantize.calibration.cache.versions", lambda: {"onnxruntime": "another"})
    assert not case.run()[1]


def _file(case: Case) -> Path:
    (file,) = case.folder.iterdir()
    return file


def _truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _empty(data: bytes) -> bytes:
    return b""


def _garbage(data: bytes) -> bytes:
    return b"no such thing" * 100


def _shorten_an_array(data: bytes) -> bytes:
    """Such a file reads without an error unless its checksums are looked at."""
    assert b"(8192,)" in data
    return data.replace(b"(8192,)", b"(4192,)", 1)


def _plain_array(data: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }"


def _resaved(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[bytes], bytes]:
    """The same kind of file with other arrays."""

    def damage(data: bytes) -> bytes:
        with np.load(BytesIO(data)) as file:
            arrays = change(dict(file))
        out = BytesIO()
        np.savez(out, **arrays)
        return out.getvalue()

    return damage


def _undigested(alter: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    return _resaved(lambda a: {name: alter(a[name]) for name in a if name != "sha256"})


DAMAGES = {
    "half": _truncate,
    "empty": _empty,
    "garbage": _garbage,
    "a shorter array": _shorten_an_array,
    "a plain array": _plain_array,
    "no digest": _undigested(lambda array: array),
    "twice all": _undigested(lambda array: array * 2),
    "nan": _undigested(lambda array: array * np.nan),
    "twice the extremes": _resaved(
        lambda a: {n: a[n] * 2 if n.endswith("extremes") else a[n] for n in a}
    ),
    "other arrays": _resaved(lambda a: {"0.0.extremes": np.zeros(2)}),
    "pickled": _resaved(lambda a: a | {"0.0.low": np.array([{"a": 1}], dtype=object)}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_ignored_and_rewritten(
    case: Case, damage: Callable[[bytes], bytes]
) -> None:
    first, _, _ = case.run()
    good = _file(case).read_bytes()
    _file(case).write_bytes(damage(good))
    second, hit, _ = case.run()
    assert not hit
    _assert_equal(second, first)
    assert case.run()[1]


def test_a_folder_that_cannot_be_made_or_written_is_no_error(case: Case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    case.folder = tmp_path / "file" / "cache"
    assert not case.run()[1]
    assert not case.run()[1]


def test_images_without_a_digest_are_not_cached(case: Case) -> None:
    case.samples[2] = case.samples[2]._replace(sha256="")
    assert not case.run()[1]
    assert not case.run()[1]
    assert not case.folder.exists()


def test_files_that_change_while_they_are_read_are_not_cached(case: Case) -> None:
    class Changing(Counted):
        def identities(self) -> list[ImageRef]:
            return [ImageRef(id=s.id, sha256="0" * 64) for s in list.__iter__(self)]

    expected = [s.sha256 for s in case.samples]
    case.samples = Changing(case.samples)
    _, hit, images = case.run()
    assert not hit and [i.sha256 for i in images] == expected  # those that were used
    assert not case.folder.exists()


def test_samples_that_do_not_know_how_they_were_prepared_are_measured_each_time(
    case: Case,
) -> None:
    """Ids and files are the same under every protocol, the pixels are not."""
    statistics = _statistics()
    images = collect_cached(
        [Measurement(case.model, statistics)], case.artifact, list(case.samples), folder=case.folder
    )
    assert [(i.id, i.sha256) for i in images] == [(s.id, s.sha256) for s in case.samples]
    assert not case.folder.exists()
    _assert_equal(case.run()[0], statistics)


def test_only_the_files_used_last_are_kept(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.run()
    size = _newest(case).stat().st_size
    for index in range(4):
        older = case.folder / f"{index}.npz"
        older.write_bytes(bytes(size))
        os.utime(older, (index, index))
    os.utime(_newest(case), (0.5, 0.5))
    (case.folder / "gone.npz").symlink_to("nowhere")  # as if another run removed it meanwhile
    assert case.run()[1]  # used again, so not the second oldest any more
    monkeypatch.setattr("quantize.calibration.cache.LIMIT", int(3.5 * size))
    case.samples.origin = Origin("center-crop")
    case.run()
    # both real ones, and of the four others the one used last
    assert len([file for file in case.folder.iterdir() if file.is_file()]) == 3
    assert (case.folder / "3.npz").exists()
    case.samples.origin = Origin("squash")
    assert case.run()[1]


def test_statistics_larger_than_the_folder_may_be_are_not_kept(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.calibration.cache.LIMIT", 10)
    case.run()
    assert not case.folder.exists() or not list(case.folder.iterdir())


def _newest(case: Case) -> Path:
    return max(case.folder.iterdir(), key=lambda file: file.stat().st_mtime)


def test_the_default_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "segport" / "statistics"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert default_folder() == tmp_path / "home" / ".cache" / "segport" / "statistics"


def test_a_sound_file_of_another_calibration_is_not_taken(case: Case) -> None:
    case.run()
    other = _file(case).read_bytes()
    _file(case).unlink()
    _change_an_image(case)
    case.samples[1] = case.samples[1]._replace(image=case.samples[1].image + 1)
    first, _, _ = case.run()
    _file(case).write_bytes(other)
    second, hit, _ = case.run()
    assert not hit
    _assert_equal(second, first)
