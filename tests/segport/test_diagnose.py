import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.artifact.artifact import Artifact, load_artifact, write_artifact
from tests.segport.command import Answer, segport

Done = tuple[Answer, Path]


@pytest.fixture
def faulty(done: Done, tmp_path: Path) -> Artifact:
    """The int8 file with one activation's scale 16 times too large."""
    int8 = load_artifact(done[1] / "tiny-int8.onnx")
    model = onnx.load(int8.path)
    (scale,) = [t for t in model.graph.initializer if t.name == "hardtanh_1_scale"]
    larger = numpy_helper.to_array(scale) * np.float32(16)
    scale.CopyFrom(numpy_helper.from_array(larger, scale.name))
    return write_artifact(model.SerializeToString(), int8.manifest, tmp_path / "faulty")


def test_it_names_the_layer_and_writes_the_files(
    done: Done, faulty: Artifact, voc: Path, tmp_path: Path
) -> None:
    arguments = ["diagnose", done[1] / "tiny-fp32.onnx", faulty.path, "--data", f"{voc}:train"]
    answer = segport(*arguments, "-o", tmp_path / "out")
    assert (answer.code, answer.errors) == (0, [])
    first, *others = answer.out.splitlines()
    assert first.startswith("suspect: layer node_conv2d_1 (Conv): SQNR goes from ")
    assert others[3].startswith("node_conv2d_1 ")  # the largest jump, below the table's head
    names = ["diagnosis.md", "diagnosis.json", "diagnosis.svg"]
    assert others[-3:] == [f"wrote {tmp_path / 'out' / name}" for name in names]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    assert first[1:] in (tmp_path / "out/diagnosis.md").read_text()


def test_json_is_the_document_that_was_written(done: Done, voc: Path, tmp_path: Path) -> None:
    fp32, fp16 = (done[1] / f"tiny-{precision}.onnx" for precision in ("fp32", "fp16"))
    answer = segport(
        "diagnose", fp32, fp16, "--data", voc, "--limit", 2, "--protocol", "center-crop",
        "-o", tmp_path, "--json",
    )  # fmt: skip
    assert (answer.code, answer.errors) == (0, [])
    document = answer.json
    assert document.pop("files") == [
        str(tmp_path / f"diagnosis.{ending}") for ending in ("md", "json", "svg")
    ]
    assert document == json.loads((tmp_path / "diagnosis.json").read_text())
    assert document["images"] == ["val_000", "val_001"]
    assert document["suspect"]["stands_out"] is False


def test_bad_input_is_one_line_and_writes_nothing(done: Done, voc: Path, tmp_path: Path) -> None:
    fp32, int8 = (done[1] / f"tiny-{precision}.onnx" for precision in ("fp32", "int8"))
    other = segport(
        "export", "tests.networks:overflowing", "--weights", "default", "--size", 65, 65,
        "--name", "hot", "-o", tmp_path,
    )  # fmt: skip
    assert other.code == 0
    (tmp_path / "empty").mkdir()
    shutil.copy(fp32, tmp_path / "alone.onnx")
    cases = {
        "was not made from": [tmp_path / "hot-fp32.onnx", int8, "--data", voc],
        "give the fp32 file first": [int8, fp32, "--data", voc],
        "cannot be compared tensor by tensor": [
            fp32, tmp_path / "hot-fp32.onnx", "--data", voc,
        ],
        "no such folder": [fp32, int8, "--data", tmp_path / "nowhere"],
        "positive number": [fp32, int8, "--data", voc, "--limit", 0],
        "unknown protocol": [fp32, int8, "--data", voc, "--protocol", "squish"],
        "no such file": [fp32, tmp_path / "absent.onnx", "--data", voc],
        "manifest alone.json is missing": [fp32, tmp_path / "alone.onnx", "--data", voc],
        str(tmp_path / "empty"): [fp32, int8, "--data", tmp_path / "empty"],
    }  # fmt: skip
    for says, arguments in cases.items():
        answer = segport("diagnose", *arguments, "-o", tmp_path / "out")
        assert (answer.code, answer.out) == (2, ""), says
        (line,) = answer.errors
        assert line.startswith("segport: ") and says in line
        assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused_before_the_work(
    done: Done, voc: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    answer = segport(
        "diagnose", done[1] / "tiny-fp32.onnx", done[1] / "tiny-int8.onnx", "--data", voc,
        "-o", tmp_path / "file",
    )  # fmt: skip
    assert answer.code == 2 and "is a file" in answer.errors[0]
