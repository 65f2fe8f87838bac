import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.artifact.artifact import Artifact
from export.common.errors import DataError, UsageError
from export.onnx_export import export_model
from export.ort.sessions import threads
from tests.validate.fakes import FakeEngine, logits_of
from validate.runtime.engine import Runtime
from validate.speed import bench as module
from validate.speed.bench import Bench, bench
from validate.speed.bench_table import bench_lines, ranking_line
from validate.speed.latency import WARM_UP, Spread
from validate.speed.memory import Footprint
from validate.speed.picture import input_image

FOOTPRINT = Footprint(Spread(5, 4, 6), 10.0, 20.0, 90.0, 5)


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Runtimes that only note who ran, and memory that costs no process."""
    ran: list[str] = []

    def opened(artifact: Artifact, name: str | None, **_: object) -> Runtime:
        def note() -> None:
            ran.append(f"{artifact.manifest.id} {name} on {threads()}")

        engine = FakeEngine(logits_of([[0]], 2), called=note)
        return Runtime(str(name), "nowhere", engine, times_artifact=name != "ort-fp16")

    monkeypatch.setattr(module, "open_runtime", opened)
    monkeypatch.setattr(module, "measure_footprint", lambda *_, **__: FOOTPRINT)
    yield ran


def test_artifacts_take_turns_on_the_cpus_asked_for(
    order: list[str], tiny: Artifact, int8: Artifact
) -> None:
    found = bench([tiny, int8], threads=1, rounds=4)
    assert order == ["fp32 ort-cpu on 1", "int8 ort-cpu on 1"] * (WARM_UP + 4)
    assert (found.threads, len(found.cpus or ()), found.rounds) == (1, 1, 4)
    assert [timing.id for timing in found.timings] == ["fp32", "int8"]
    assert [timing.sha256 for timing in found.timings] == [
        tiny.manifest.sha256, int8.manifest.sha256,
    ]  # fmt: skip
    assert found.timings[0].ratio == Spread(1, 1, 1)
    assert found.timings[0].throughput is None and found.timings[0].footprint == FOOTPRINT


def test_every_artifact_on_every_runtime(order: list[str], tiny: Artifact, int8: Artifact) -> None:
    found = bench([tiny, int8], runtimes=["ort-cpu", "openvino"], rounds=1, threads=1)
    assert [(timing.id, timing.runtime) for timing in found.timings] == [
        ("fp32", "ort-cpu"), ("fp32", "openvino"), ("int8", "ort-cpu"), ("int8", "openvino"),
    ]  # fmt: skip
    assert len(order) == 4 * (WARM_UP + 1)


def test_parallel_sessions_run_their_share(order: list[str], tiny: Artifact) -> None:
    found = bench([tiny], threads=1, parallel=1, rounds=3)
    # the timed session, then one more
    assert len(order) == (WARM_UP + 3) + (WARM_UP + 3)
    throughput = found.timings[0].throughput
    assert throughput is not None and (throughput.sessions, throughput.threads) == (1, 1)


def test_ratios_compare_rounds_not_medians(
    monkeypatch: pytest.MonkeyPatch, order: list[str], tiny: Artifact, int8: Artifact
) -> None:
    """The machine halves its speed at times; a file that takes half as long always does."""
    now = 0.0
    slow = iter([1, 1, 1, *(round_ % 3 + 1 for round_ in range(9))])  # one value per round
    factor = 1

    def opened(artifact: Artifact, name: str | None, **_: object) -> Runtime:
        def pass_time() -> None:
            nonlocal now, factor
            if artifact is tiny:
                factor = next(slow)
            now += factor * (0.080 if artifact is tiny else 0.040)

        engine = FakeEngine(logits_of([[0]], 2), called=pass_time)
        return Runtime(str(name), "nowhere", engine)

    monkeypatch.setattr(module, "open_runtime", opened)
    monkeypatch.setattr("time.perf_counter", lambda: now)
    first, second = bench([tiny, int8], rounds=9).timings
    assert second.ratio == Spread(0.5, 0.5, 0.5)
    assert (first.mask_ms.median, second.mask_ms.median) == (160, 80)


def test_float16_is_timed_as_it_is_not_as_emulated(order: list[str], fp16: Artifact) -> None:
    found = bench([fp16], rounds=1, threads=1)
    assert found.timings[0].runtime in ("ort-cpu", "ort-cuda")
    with pytest.raises(UsageError, match=r"its speed is not that of tiny-fp16\.onnx"):
        bench([fp16], runtimes=["ort-fp16"])


def test_one_picture_for_all_normalised_for_each(tiny: Artifact, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 50, 3), 51, np.uint8)).save(tmp_path / "grey.png")
    image = input_image(tiny.manifest, tmp_path / "grey.png")
    spec = tiny.manifest.input
    assert image.shape == (1, 3, 65, 65)
    for channel in range(3):
        expected = (51 / 255 - spec.mean[channel]) / spec.std[channel]
        np.testing.assert_allclose(image[0, channel], expected, rtol=1e-5)
    np.testing.assert_array_equal(input_image(tiny.manifest), input_image(tiny.manifest))
    assert input_image(tiny.manifest).std() > 0.1


@pytest.mark.slow
def test_real_artifacts_of_two_sizes(tiny: Artifact, int8: Artifact, tmp_path: Path) -> None:
    other = export_model(
        "tests.networks:tiny", "default", tmp_path, size=(129, 97), batch=2, name="other"
    )
    before = os.sched_getaffinity(0)
    found = bench([tiny, int8, other], rounds=2, parallel=1)
    assert os.sched_getaffinity(0) == before
    assert [timing.shape for timing in found.timings] == [
        (1, 3, 65, 65), (1, 3, 65, 65), (2, 3, 129, 97),
    ]  # fmt: skip
    for timing in found.timings:
        assert 0 < timing.session_ms.median <= timing.mask_ms.median
        assert timing.footprint.load_ms.median > 0
        assert timing.throughput is not None and timing.throughput.images_per_s > 0
    text = bench_lines(found)
    rows = text.splitlines()[2:5]
    assert [row.split()[0] for row in rows] == [t.file for t in found.timings]
    assert "2x3x129x97" in rows[2] and "warning: inputs differ in shape" in text
    assert "images/s (1 sessions)" in text and "pinned to CPU" in text


def test_a_data_set_without_images_is_refused(
    tiny: Artifact, tmp_path: Path, make_voc: Callable[..., Path]
) -> None:
    empty = make_voc(tmp_path / "VOC2012", val=0)
    with pytest.raises(DataError, match=r"VOC2012"):
        bench([tiny], data=str(empty))
    broken = make_voc(tmp_path / "broken", train=0, val=1)
    (broken / "JPEGImages/val_000.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"val_000\.jpg"):
        bench([tiny], data=str(broken))


def test_bad_requests(tiny: Artifact, int8: Artifact) -> None:
    with pytest.raises(UsageError, match="at least one artifact"):
        bench([])
    with pytest.raises(UsageError, match="torch runs float32"):
        bench([int8], runtimes=["torch"])
    with pytest.raises(UsageError, match="--weights goes with --runtime torch"):
        bench([tiny], weights="default")


def test_a_ranking_is_of_images_and_of_files_that_agree(tiny: Artifact, order: list[str]) -> None:
    """Milliseconds by hand: four images in 8 ms are faster than one in 3, one in 1 is too wrong."""
    measured = bench([tiny], runtimes=["ort-cpu"], rounds=1, threads=1)

    def timed(threads: int, *ms: float) -> Bench:
        named = zip(("one", "four", "wrong"), (1, 4, 1), ms, (99.0, 99.0, 9.0), strict=True)
        timings = tuple(
            replace(
                measured.timings[0], file=file, shape=(batch, 3, 65, 65), agreement=agreement,
                mask_ms=Spread(milliseconds, milliseconds, milliseconds),
            )
            for file, batch, milliseconds, agreement in named
        )  # fmt: skip
        return replace(measured, threads=threads, timings=timings)

    alike = [timed(1, 3, 8, 1), timed(2, 3, 8, 1)]
    assert ranking_line(alike, 95) == [
        "the fastest per image with 1 and 2 threads alike: four on ort-cpu"
    ]
    assert ranking_line([*alike, timed(4, 1.5, 8, 1)], 95) == [
        "the fastest per image changes with the threads: with 1 four on ort-cpu; "
        "with 2 four on ort-cpu; with 4 one on ort-cpu"
    ]
    assert ranking_line(alike[:1], 95) == ranking_line(alike, 99.5) == []
