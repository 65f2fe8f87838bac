import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import onnx
import pytest

from export.artifact.artifact import Artifact, load_artifact
from export.ort.sessions import cpu_facts
from quantize.host import default_target
from segport.artifact_lines import artifact_lines
from tests.segport.command import Answer, segport


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, make_voc: Callable[..., Path]) -> Path:
    return make_voc(tmp_path_factory.mktemp("data") / "VOC2012", train=6, val=2)


def _quantize(artifact: Artifact, data: Path, out: Path, *more: object) -> Answer:
    arguments = ["quantize", artifact.path, "--precision", "int8", "--calibration", data]
    target = () if "--target" in more else ("--target", "cpu")  # the machine's may be another
    return segport(*arguments, "--samples", 3, "-o", out, *target, *more)


def _manifest(out: Path) -> dict:
    (path,) = out.glob("*.json")
    return json.loads(path.read_text())


def test_the_target_is_the_machines_and_the_reason_is_said(
    tiny: Artifact, data: Path, tmp_path: Path
) -> None:
    answer = segport(
        "quantize", tiny.path, "--precision", "int8", "--calibration", data, "--samples", 3,
        "-o", tmp_path,
    )  # fmt: skip
    assert answer.code == 0
    expected = default_target(cpu_facts())
    assert _manifest(tmp_path)["target"] == expected
    (line,) = [line for line in answer.out.splitlines() if line.startswith("target ")]
    assert line.startswith(f"target {expected}: ")
    chosen = _quantize(tiny, data, tmp_path / "chosen", "--target", "arm")
    assert "target " not in chosen.out and "not verified: made for 64-bit ARM" in chosen.out


def test_rewrites_are_listed_with_what_they_changed(
    tiny: Artifact, data: Path, tmp_path: Path
) -> None:
    answer = _quantize(tiny, data, tmp_path, "--target", "npu")
    lines = [line.split()[0] for line in answer.out.splitlines() if line]
    assert "repair-dead-channels" in lines and "equalize" in lines
    assert "absorb-bias" not in lines
    steps = _manifest(tmp_path)["checks"]["int8"]["prepared"]
    assert [step["rewrite"] for step in steps] == ["repair-dead-channels", "equalize"]
    assert all(step["argmax_agreement"] > 99.9 for step in steps)


def test_methods_are_added_and_skipped_by_name(tiny: Artifact, data: Path, tmp_path: Path) -> None:
    npu = ("--target", "npu", "--seed", 1)
    answer = _quantize(
        tiny, data, tmp_path, *npu, "--skip", "equalize", "--with", "absorb-bias", "--skip", "gptq"
    )
    assert answer.code == 0
    manifest = _manifest(tmp_path)
    facts = manifest["checks"]["int8"]
    steps = [step["rewrite"] for step in facts["prepared"]]
    assert steps == ["repair-dead-channels", "absorb-bias"]
    assert facts["rounding_gain_db"] == {}
    assert manifest["settings"]["added"] == ["absorb-bias"]
    assert manifest["settings"]["skipped"] == ["equalize", "gptq"]


def test_a_budget_that_int8_meets_keeps_nothing_more_in_float(
    tiny: Artifact, data: Path, tmp_path: Path
) -> None:
    plain, searched = tmp_path / "plain", tmp_path / "searched"
    _quantize(tiny, data, plain)
    answer = _quantize(tiny, data, searched, "--min-agreement", 1)
    assert answer.code == 0 and "search: " in answer.out
    assert (plain / "tiny-int8.onnx").read_bytes() == (searched / "tiny-int8.onnx").read_bytes()
    facts = _manifest(searched)["checks"]["int8"]["search"]
    assert [one["accepted"] for one in facts["candidates"]] == [True]
    # 3 calibrated, and the 3 training images left judged; all of them shaped the file
    assert len(_manifest(searched)["images"]) == 6
    assert {image["id"] for image in _manifest(searched)["images"]} == {
        f"train_{index:03d}" for index in range(6)
    }


def test_a_stricter_budget_leaves_layers_in_float_and_is_kept(
    tiny: Artifact, data: Path, tmp_path: Path
) -> None:
    poor = ("--target", "per-tensor", "--range", "percentile:90", "--force")
    answer = _quantize(tiny, data, tmp_path / "poor", *poor)
    assert answer.code == 0
    _quantize(tiny, data, tmp_path / "first", *poor, "--min-agreement", 1)
    search = _manifest(tmp_path / "first")["checks"]["int8"]["search"]
    reached = search["candidates"][0]["score"]
    wanted = (3 * reached + 100) / 4
    answer = _quantize(tiny, data, tmp_path / "better", *poor, "--min-agreement", wanted)
    assert answer.code == 0
    facts = _manifest(tmp_path / "better")["checks"]["int8"]
    accepted = [one["score"] for one in facts["search"]["candidates"] if one["accepted"]]
    assert accepted and min(accepted) >= wanted > reached
    (plot,) = (tmp_path / "better").glob("tiny-int8*-frontier.svg")
    assert ElementTree.parse(plot).getroot().tag.endswith("svg")
    kept = set(facts["kept_float"])
    assert kept > set(_manifest(tmp_path / "poor")["checks"]["int8"]["kept_float"])
    graph = onnx.load(next((tmp_path / "better").glob("*.onnx"))).graph
    producers = {name: node.op_type for node in graph.node for name in node.output}
    for node in (n for n in graph.node if n.name in kept and n.op_type == "Conv"):
        assert producers.get(node.input[1]) != "DequantizeLinear"


def test_a_budget_that_cannot_be_met_is_one_line_and_no_file(
    tiny: Artifact, data: Path, tmp_path: Path
) -> None:
    poor = ("--target", "per-tensor", "--range", "percentile:60", "--min-agreement", 100)
    answer = _quantize(tiny, data, tmp_path, *poor)
    assert answer.code == 2 and len(answer.errors) == 1
    assert "agreement" in answer.errors[0]
    assert not list(tmp_path.iterdir())


def test_labels_judge_a_drop(tiny: Artifact, data: Path, tmp_path: Path) -> None:
    answer = _quantize(tiny, data, tmp_path, "--max-drop", 100, "--data", f"{data}:val")
    assert answer.code == 0
    ids = [image["id"] for image in _manifest(tmp_path)["images"]]
    assert {"val_000", "val_001"} <= set(ids)
    overlapping = segport("validate", tmp_path / "tiny-int8.onnx", "--reference", tiny.path,
                          "--data", data, "-o", tmp_path / "result")  # fmt: skip
    assert overlapping.code == 2 and "were used to calibrate" in overlapping.errors[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--with", "gptqq"), "did you mean 'gptq'"),
        (("--skip", "equalise"), "did you mean 'equalize'"),
        (("--with", "equalize", "--skip", "equalize"), "choose one of them"),
        (("--with", "gptq", "--with", "adaround"), "rounded only once"),
        (("--max-drop", 1, "--min-agreement", 99), "choose one of them"),
        (("--min-agreement", 101), "from 0 to 100"),
        (("--max-drop", -1), "from 0 to 100"),
        (("--max-drop", "nan"), "from 0 to 100"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    tiny: Artifact, data: Path, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    answer = _quantize(tiny, data, tmp_path / "out", *arguments)
    assert answer.code == 2 and len(answer.errors) == 1
    assert message in answer.errors[0]
    assert not (tmp_path / "out").exists()


def test_a_search_needs_int8_and_images(tiny: Artifact, data: Path, tmp_path: Path) -> None:
    half = segport("quantize", tiny.path, "--precision", "fp16", "--calibration", data,
                   "--min-agreement", 99, "-o", tmp_path)  # fmt: skip
    assert half.code == 2 and "fp16 has its own guard" in half.errors[0]
    blind = segport("quantize", tiny.path, "--precision", "int8", "--max-drop", 1, "-o", tmp_path)
    assert blind.code == 2 and "--data" in blind.errors[0]
    assert not list(tmp_path.iterdir())


def test_what_stays_in_float_is_listed_with_its_reason(
    tiny: Artifact, data: Path, tmp_path: Path
) -> None:
    graph = onnx.load(tiny.path).graph
    head = next(node.name for node in reversed(graph.node) if node.op_type == "Conv")
    answer = _quantize(tiny, data, tmp_path, "--target", "cpu", "--keep-float", head, "--force")
    table, _, times = answer.out[answer.out.index("in float  ") :].partition("int8 takes ")
    assert "ms here" in times and "--keep-float" in times
    assert [line.split("  ")[0] for line in table.splitlines()[2:5]] == ["Conv", "Resize", "Concat"]
    share = 100 * 16 * 21 * 33 * 33 / tiny.manifest.macs
    (conv,) = [line for line in table.splitlines() if line.startswith("Conv ")]
    assert conv.split() == ["Conv", "1", f"{share:.1f}", "--keep-float", head]
    assert "gives the output" in table and "only float layers read it" in table
    # the manifest of an earlier version has the names alone
    (path,) = tmp_path.glob("*.onnx")
    old = load_artifact(path)
    facts = {k: v for k, v in old.manifest.checks["int8"].items() if k != "float_layers"}
    old = Artifact(path, old.manifest.model_copy(update={"checks": {"int8": facts}}))
    (line,) = [line for line in artifact_lines(old).splitlines() if line.startswith("kept in")]
    assert line == f"kept in float: {', '.join(facts['kept_float'])}"
    # and what is not foreseen to be faster is said
    for foreseen, said in ((0.99, 0), (1.2, 1), (None, 0)):
        facts |= {"foreseen_time": foreseen}
        slow = Artifact(path, old.manifest.model_copy(update={"checks": {"int8": facts}}))
        assert artifact_lines(slow).count("foreseen to take 1.20 of fp32's time") == said
