import os
from pathlib import Path

import pytest

from tests.segport.command import Answer, segport

Done = tuple[Answer, Path]


def test_a_table_of_the_artifacts(done: Done, voc: Path) -> None:
    files = [done[1] / f"tiny-{precision}.onnx" for precision in ("fp32", "fp16", "int8")]
    answer = segport("bench", *files, "--rounds", 2, "--threads", 1, "--data", voc)
    assert (answer.code, answer.errors) == (0, [])
    lines = answer.out.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == [file.name for file in files]
    assert "image to mask ms" in lines[0] and "1.00 (1.00-1.00)" in lines[2]
    assert "1 threads pinned to CPU" in answer.out and "picture: val_000.jpg" in answer.out
    assert (
        "warning: tiny-fp16.onnx: this CPU runtime computes float16 files in float32"
        in (answer.out)
        or "ort-cuda" in lines[3]
    )


def test_the_same_as_one_json_document(done: Done) -> None:
    files = [done[1] / f"tiny-{precision}.onnx" for precision in ("fp32", "int8")]
    answer = segport("bench", *files, "--rounds", 3, "--parallel", 1, "--json")
    assert (answer.code, answer.errors) == (0, [])
    document = answer.json
    assert document["threads"] == len(document["cpus"]) and document["rounds"] == 3
    first, second = document["timings"]
    assert first["ratio"] == {"median": 1, "p10": 1, "p90": 1}
    assert second["id"] == "int8" and second["shape"] == [1, 3, 65, 65]
    assert set(second["footprint"]) >= {"load_ms", "loaded_mb", "peak_mb"}
    assert second["throughput"]["images_per_s"] > 0
    assert document["picture"] == "synthetic, seed 0" and document["machine"]["cpu"]


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["--threads", 100_000], "--threads 100000: this process may use"),
        (["--threads", 0], "--threads 0: give numbers from 1 on"),
        (["--threads", "1,x"], "--threads 1,x: give numbers from 1 on"),
        (["--rounds", 0], "--rounds"),
        (["--parallel", 100_000], "--parallel 100000: more sessions than threads"),
        (["--runtime", "ort-cup"], "did you mean 'ort-cpu'"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_one_line(done: Done, arguments: list[object], fragment: str) -> None:
    answer = segport("bench", done[1] / "tiny-fp32.onnx", *arguments)
    assert (answer.code, answer.out, len(answer.errors)) == (2, "", 1)
    assert fragment in answer.errors[0]


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU")
def test_several_numbers_of_threads_end_in_what_they_change(done: Done) -> None:
    files = [done[1] / f"tiny-{precision}.onnx" for precision in ("fp32", "int8")]
    answer = segport("bench", *files, "--rounds", 2, "--threads", "1,2")
    assert answer.code == 0 and answer.out.count("image to mask ms") == 2
    assert answer.out.splitlines()[-1].startswith("the fastest per image ")
    document = segport("bench", *files, "--rounds", 2, "--threads", "1,2", "--json").json
    assert [one["threads"] for one in document] == [1, 2]


def test_a_file_that_is_no_artifact(done: Done, tmp_path: Path) -> None:
    answer = segport("bench", done[1] / "tiny-fp32.onnx", tmp_path / "none.onnx")
    assert (answer.code, answer.out) == (2, "") and "no such file" in answer.errors[0]
