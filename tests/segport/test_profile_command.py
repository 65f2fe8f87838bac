from pathlib import Path

import pytest

from tests.segport.command import Answer, segport

Done = tuple[Answer, Path]


@pytest.mark.slow
def test_operators_then_the_slowest_layers(done: Done) -> None:
    file = done[1] / "tiny-int8.onnx"
    answer = segport("profile", file, "--rounds", 2, "--threads", 1, "--layers", 3)
    assert (answer.code, answer.errors) == (0, [])
    title, operators, layers, summary = answer.out.strip().split("\n\n")
    assert title.startswith("tiny-int8.onnx: input 1x3x65x65")
    assert "QLinearConv" in operators and "Resize" in operators
    assert len(layers.splitlines()) == 2 + 3
    assert "this machine's peak" in summary and "not convolution or product" in summary


@pytest.mark.slow
def test_the_same_as_one_json_document(done: Done) -> None:
    answer = segport("profile", done[1] / "tiny-fp32.onnx", "--rounds", 2, "--json")
    assert (answer.code, answer.errors) == (0, [])
    document = answer.json
    assert document["id"] == "fp32" and document["int8_share"] == 0
    assert document["found_macs"] == document["macs"] > 0
    assert document["peaks"]["float"] > 0
    assert sum(group["share"] for group in document["operators"]) <= 100.5
    # --layers is for the table; the document has all
    assert len(document["layers"]) == sum(group["kernels"] for group in document["operators"])


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["--threads", 100_000], "--threads 100000: this process may use"),
        (["--rounds", 0], "--rounds"),
        (["--layers", -1], "--layers"),
    ],
)
def test_bad_input_is_one_line(done: Done, arguments: list[object], fragment: str) -> None:
    answer = segport("profile", done[1] / "tiny-fp32.onnx", *arguments)
    assert (answer.code, answer.out, len(answer.errors)) == (2, "", 1)
    assert fragment in answer.errors[0]


def test_a_file_that_is_no_artifact(tmp_path: Path) -> None:
    answer = segport("profile", tmp_path / "none.onnx")
    assert (answer.code, answer.out) == (2, "") and "no such file" in answer.errors[0]
