import platform
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from export.artifact.artifact import Artifact
from export.common.errors import CalibrationError, QuantizeError, UsageError
from export.ort.inspection import Optimized
from quantize.graph.selection import range_sources
from quantize.int8.finishing import check_fusion
from quantize.quantization import quantize
from quantize.settings import Settings
from quantize.targets import TARGETS
from validate.samples.samples import Samples

CPU = Settings(target="cpu")


@pytest.fixture(scope="module")
def made(made_for: Callable[[str], Artifact]) -> Artifact:
    return made_for("cpu")


def test_every_layer_that_should_runs_in_int8(made: Artifact) -> None:
    facts = made.manifest.checks["int8"]
    # Tiny has 5 convolutions (stem, 2 in the block, pooling, head), one of each other kind
    wanted = {"Conv": [5, 5], "Add": [1, 1], "Concat": [1, 1], "GlobalAveragePool": [1, 1]}
    assert facts["fused"] == wanted
    assert facts["int8_macs_share"] == 1.0


def test_what_only_a_concat_reads_is_on_its_grid(made: Artifact) -> None:
    graph = onnx.load(made.path).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    parameters = {
        n.input[0]: [constants[name].item() for name in n.input[1:]]
        for n in graph.node
        if n.op_type == "QuantizeLinear"
    }
    assert parameters["upsample_bilinear2d"] == parameters["cat"]
    assert parameters["add"] != parameters["cat"]  # the pooling reads it, too


def test_scales_follow_from_the_recorded_ranges(made: Artifact) -> None:
    """Independent arithmetic: asymmetric uint8 over [min(low, 0), max(high, 0)]."""
    graph = onnx.load(made.path).graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    ranges = made.manifest.checks["int8"]["ranges"]
    checked = 0
    for node in (n for n in graph.node if n.op_type == "QuantizeLinear"):
        if node.name.startswith("node_Conv_27/"):  # moves pixels, see quantize.lossless
            continue
        low, high = ranges[node.input[0]]
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / 255
        assert float(constants[node.input[1]]) == pytest.approx(scale, rel=1e-5)
        assert int(constants[node.input[2]]) == round(-low / scale)
        checked += 1
    assert checked >= 8


def test_a_merged_relu_takes_its_own_range_not_the_convolutions(tiny: Artifact) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(tiny.path))
    operators = TARGETS["cpu"].operators
    sources = range_sources(model, [n for n in model.graph.node if n.op_type in operators])
    for clip in (n for n in model.graph.node if n.op_type in ("Clip", "Relu")):
        assert sources[clip.input[0]] == clip.output[0]
    assert sources["input"] == "input"


def test_manifest_says_what_the_file_was_made_from(
    made: Artifact, tiny: Artifact, samples: Samples
) -> None:
    manifest = made.manifest
    assert manifest.parent_sha256 == tiny.manifest.sha256
    assert [image.id for image in manifest.images] == [s.id for s in samples]
    assert manifest.calibration_protocol == "squash"
    assert manifest.settings["range"] == "mse"
    assert manifest.settings["target"] == "cpu"
    assert (manifest.settings["added"], manifest.settings["skipped"]) == ((), ())
    assert [step["rewrite"] for step in manifest.checks["int8"]["prepared"]] == [
        "repair-dead-channels",
        "convolve-before-resize",
    ]
    # Tiny has five convolutions, each rounded by gptq, which is never worse than nearest
    gains = manifest.checks["int8"]["rounding_gain_db"]
    assert len(gains) == 5 and min(gains.values()) >= 0 < max(gains.values())
    assert (manifest.precision, manifest.target, manifest.id) == ("int8", "cpu", "int8")
    assert made.path.name == "tiny-int8.onnx"


def test_two_runs_give_the_same_bytes(
    made: Artifact, tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    again = quantize(tiny, "int8", tmp_path, samples=samples, settings=CPU)
    assert again.path.read_bytes() == made.path.read_bytes()


def test_keep_float_leaves_layers_alone(tiny: Artifact, samples: Samples, tmp_path: Path) -> None:
    head = next(n for n in reversed(onnx.load(tiny.path).graph.node) if n.op_type == "Conv")
    concat = next(n for n in onnx.load(tiny.path).graph.node if n.op_type == "Concat")
    settings = Settings(target="cpu", keep_float=(head.name,))
    kept = quantize(tiny, "int8", tmp_path, samples=samples, settings=settings)
    facts = kept.manifest.checks["int8"]
    # the head alone reads the Concat, which is then better in float too
    assert facts["kept_float"] == sorted([concat.name, head.name])
    assert facts["fused"] == {"Conv": [4, 4], "Add": [1, 1], "GlobalAveragePool": [1, 1]}
    # the head is 1x1, 16 -> 21 channels at 33x33; it alone leaves int8
    head_macs = 16 * 21 * 33 * 33
    assert facts["int8_macs_share"] == pytest.approx(1 - head_macs / tiny.manifest.macs)


def test_a_glob_that_matches_nothing_is_an_error(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no layer has such a name"):
        quantize(tiny, "int8", tmp_path, samples=samples, settings=Settings(keep_float=("x*",)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("facts", "target"),
    [
        ({"cpu": "EPYC", "machine": "x86_64", "isa": ["avx2", "avx512_vnni"]}, "cpu"),
        ({"cpu": "Core", "machine": "x86_64", "isa": ["avx2"]}, "cpu-avx2"),
        ({"cpu": "Graviton", "machine": "aarch64", "isa": ["asimd"]}, "arm"),
    ],
)
def test_the_target_is_that_of_the_machine_unless_named(
    facts: dict[str, Any], target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantize.settings.cpu_facts", lambda: facts)
    assert Settings().resolved() == Settings(target=target, range="mse")
    assert Settings(target="npu", range="mse").resolved() == Settings(target="npu", range="mse")
    assert Settings(target="per-tensor").resolved().range == "minmax"


def test_methods_can_be_added_and_left_out(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    skipped = ("gptq", "repair-dead-channels", "convolve-before-resize")
    settings = Settings(target="cpu", added=("equalize",), skipped=skipped)
    other = quantize(tiny, "int8", tmp_path, samples=samples, settings=settings)
    facts = other.manifest.checks["int8"]
    assert [step["rewrite"] for step in facts["prepared"]] == ["equalize"]
    assert facts["rounding_gain_db"] == {}
    assert other.manifest.settings["added"] == ("equalize",)


def test_int8_without_images_is_an_error(tiny: Artifact, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="--calibration"):
        quantize(tiny, "int8", tmp_path)
    assert not list(tmp_path.iterdir())


def test_layers_that_would_run_in_float_are_named() -> None:
    conv = onnx.helper.make_node("Conv", ["x", "w"], ["y"], name="backbone.conv1")
    add = onnx.helper.make_node("Add", ["y", "z"], ["s"], name="backbone.add")
    found = Optimized(Counter(), 0, 1, {"backbone.conv1": ["QLinearConv"], "backbone.add": ["Add"]})
    with pytest.raises(QuantizeError, match=r"1 layers .* backbone\.add"):
        check_fusion([conv, add], TARGETS["cpu"], found)


def test_a_file_that_would_not_run_in_int8_is_not_written(
    tiny: Artifact, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed activations, onnxruntime's own default: x64 leaves residual layers in float."""
    if platform.machine() != "x86_64":
        pytest.skip("elsewhere signed activations do run in int8")
    signed = vars(TARGETS["cpu"]) | {"activation": TARGETS["cpu"].weight}
    monkeypatch.setitem(TARGETS, "cpu", type(TARGETS["cpu"])(**signed))
    with pytest.raises(QuantizeError, match="would not run in int8"):
        quantize(tiny, "int8", tmp_path, samples=samples, settings=CPU)
    assert not list(tmp_path.iterdir())
