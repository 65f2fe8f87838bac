from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.artifact.artifact import Artifact, load_artifact, write_artifact
from tests.segport.command import segport


@pytest.fixture(scope="module")
def npu(tiny: Artifact, voc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("npu")
    answer = segport(
        "quantize", tiny.path, "--precision", "int8", "--target", "npu", "--calibration", voc,
        "--samples", 2, "--min-self-agreement", 50, "-o", folder,
    )  # fmt: skip
    assert (answer.code, answer.errors) == (0, [])
    return folder / "tiny-int8-npu.onnx"


@pytest.fixture(scope="module")
def faulty(npu: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a zero point in the graph's input."""
    graph = onnx.load(npu)
    for tensor in graph.graph.initializer:
        if tensor.name == "input_zero_point":
            tensor.CopyFrom(numpy_helper.from_array(np.array(5, np.int8), tensor.name))
    folder = tmp_path_factory.mktemp("faulty")
    return write_artifact(graph.SerializeToString(), load_artifact(npu).manifest, folder).path


def test_a_clean_file_has_no_findings(npu: Path, tiny: Artifact) -> None:
    for path in (npu, tiny.path):
        answer = segport("lint", path)
        assert (answer.code, answer.out, answer.err) == (0, "no findings\n", "")
    assert segport("lint", npu, "--json").json == {"exit_code": 0, "findings": []}


def test_an_error_is_a_line_and_exit_code_1(faulty: Path) -> None:
    answer = segport("lint", faulty)
    assert (answer.code, answer.err) == (1, "")
    (line,) = answer.out.splitlines()
    assert line.startswith("ERROR  zero-point: input: zero point 5") and line.endswith(")")
    listed = segport("lint", faulty, "--json")
    assert listed.code == listed.json["exit_code"] == 1
    (finding,) = listed.json["findings"]
    assert finding["rule"] == "zero-point" and finding["severity"] == "error"
    assert finding["reason"] in line and finding["message"] in line


def test_a_warning_is_no_error(tiny: Artifact, tmp_path: Path) -> None:
    graph = onnx.load(tiny.path)
    for tensor in graph.graph.initializer:
        if tensor.name.endswith("head.weight"):
            values = numpy_helper.to_array(tensor).copy()
            values[7] = 0
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    path = write_artifact(graph.SerializeToString(), tiny.manifest, tmp_path).path
    answer = segport("lint", path)
    assert answer.code == 0 and answer.out.startswith("WARNING  dead-channels: node_conv2d_4: 1 of")


def test_bad_input_is_one_line(npu: Path, tmp_path: Path) -> None:
    missing = segport("lint", tmp_path / "none.onnx")
    assert (missing.code, missing.out) == (2, "") and "no such file" in missing.errors[0]
    changed = tmp_path / npu.name
    changed.write_bytes(npu.read_bytes() + b"x")
    changed.with_suffix(".json").write_bytes(npu.with_suffix(".json").read_bytes())
    refused = segport("lint", changed, "--json")
    assert (refused.code, refused.out) == (2, "") and len(refused.errors) == 1
    manifest = load_artifact(npu).manifest.model_copy(update={"target": "tpu"})
    other = write_artifact(npu.read_bytes(), manifest, tmp_path / "other").path
    unknown = segport("lint", other)
    assert unknown.code == 2 and "did you mean 'npu'" in unknown.errors[0]
