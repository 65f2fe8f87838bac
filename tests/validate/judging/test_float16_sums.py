"""`--accumulate fp16`: what a user is told of networks that need float32 sums."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from export.artifact.artifact import Artifact
from export.onnx_import import import_model
from export.ort.fp16_emulation import emulate_fp16
from quantize.quantization import quantize
from quantize.settings import Settings
from tests.segport.command import segport
from validate.accumulation.engine import Accumulating, ranks_of, summing, tensor_types
from validate.runtime.ort import emulated_fp16

pytestmark = pytest.mark.usefixtures("unsimplified")
SIDE, BRIGHT = 16, 4096


def _counting(path: Path, weight: float) -> Path:
    """Class 0 where `BRIGHT` channels that are 1 for bright pixels add up to more than class 1's
    bias, three quarters of what they should; the other 19 classes are never seen."""
    detect = np.full((BRIGHT, 3, 1, 1), 100, np.float32)
    count = np.zeros((21, BRIGHT, 1, 1), np.float32)
    count[0] = weight
    bias = np.full(21, -100, np.float32)
    bias[:2] = 0, 0.75 * BRIGHT * weight
    constants = {
        "detect": detect,
        "offset": np.full(BRIGHT, -150, np.float32),
        "low": np.float32(0),
        "high": np.float32(1),
        "count": count,
        "bias": bias,
    }
    nodes = [
        helper.make_node("Conv", ["x", "detect", "offset"], ["bright"], name="detect"),
        helper.make_node("Clip", ["bright", "low", "high"], ["one"], name="clip"),
        helper.make_node("Conv", ["one", "count", "bias"], ["y"], name="count"),
    ]
    graph = helper.make_graph(
        nodes,
        "counting",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 21, SIDE, SIDE])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def _judged(folder: Path, weight: float, **settings: object) -> tuple[str, dict]:
    """Import, make fp16 and validate; return what is printed and the fp16 file's facts."""
    source = _counting(folder / "counting.onnx", weight)
    fp32 = import_model(source, folder, mean=[0, 0, 0], std=[1, 1, 1], name="counting")
    fp16 = quantize(fp32, "fp16", folder, settings=Settings(**settings))
    pictures = folder / "pictures"
    pictures.mkdir()
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, SIDE // 2 :] = 255
    Image.fromarray(pixels).save(pictures / "half.png")
    answer = segport(
        "validate", fp32.path, fp16.path, "--data", pictures, "--accumulate", "fp16", "-o", folder
    )
    assert answer.code == 0, answer.err
    result = json.loads((folder / "result.json").read_text())
    return answer.out, result["artifacts"][1]["accumulation"]


def test_a_network_that_needs_pairwise_sums_is_told_so(tmp_path: Path) -> None:
    """4096 ones, added one after the other, stay at 2048: every bright pixel is lost."""
    said, facts = _judged(tmp_path, weight=1.0)
    agreement = {one["order"]: one["agreement"] for one in facts["sums"]}
    assert agreement == {"float32": 100, "sequential": 50, "pairwise": 100}
    assert facts["sums"][1]["worst_layer"] == "count" and facts["sums"][1]["worst_terms"] == BRIGHT
    assert facts["sums"][1]["worst_error"] == pytest.approx(50, abs=1)
    assert (
        "fp16: survives sums added up in pairs in float16, but not added up one after the" in said
    )
    assert "sequential agrees on 50.00 % of pixels" in said and "--keep-float count" in said
    report = segport("report", tmp_path / "result.json", "-o", tmp_path)
    assert report.code == 0
    assert "survives sums added up in pairs" in (tmp_path / "report.md").read_text()
    assert "survives sums added up in pairs" in (tmp_path / "report.html").read_text()


def test_the_advice_helps(tmp_path: Path) -> None:
    said, facts = _judged(tmp_path, weight=1.0, keep_float=("count",))
    assert [one["agreement"] for one in facts["sums"]] == [100, 100, 100]
    assert "survive" not in said and facts["layers"] == 1


def test_sums_beyond_65504_are_seen(tmp_path: Path) -> None:
    """4096 times 20 is 81920. As the file's own tensor it overflows in float32 sums, too."""
    _, facts = _judged(tmp_path, weight=20.0)
    pairwise = facts["sums"][2]
    assert pairwise["overflowed"] == ["count"] and pairwise["nonfinite_images"] == 1


def test_layers_that_are_not_emulated_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("validate.judging.float16_sums._MACS", 0)
    said, facts = _judged(tmp_path, weight=1.0)
    assert facts["layers"] == 1 and facts["macs_share"] == pytest.approx(21 / 24)
    rest = facts["rest"]  # detect: three terms of 100, and at most three roundings of each
    assert rest["longest"] == 3 and rest["may_overflow"] == []
    u = 2**-11
    assert rest["bounds"] == {
        order: pytest.approx(100 * k * u / (1 - k * u))
        for order, k in (("sequential", 3), ("pairwise", 3))
    }
    assert "1 more layers, of 3 terms at most" in said and "none can pass 65504" in said


def test_without_a_file_to_judge_nothing_is_written(
    tiny: Artifact, voc: Path, tmp_path: Path
) -> None:
    for value, message in (("fp16", "none was given"), ("fp8", "unknown accumulator 'fp8'")):
        answer = segport(
            "validate", tiny.path, "--data", voc, "--accumulate", value, "-o", tmp_path
        )
        assert answer.code == 2 and len(answer.errors) == 1 and message in answer.errors[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.shared
@pytest.mark.slow
def test_a_real_network_cut_into_layers_is_the_same_network(
    trained: Artifact, tmp_path: Path
) -> None:
    """With float32 sums the cut network gives ort-fp16's logits; sums in float16 differ."""
    fp16 = quantize(trained, "fp16", tmp_path)
    image = np.random.default_rng(3).normal(size=(1, 3, 257, 257)).astype(np.float32)
    wanted = emulated_fp16(fp16, None).engine.outputs(image)["logits"]
    model = onnx.shape_inference.infer_shapes(emulate_fp16(onnx.load(fp16.path)))
    ranks = ranks_of(tensor_types(model))
    layers = [node.name for node in model.graph.node if summing(node, ranks)]
    assert len(layers) == sum(n.op_type == "Conv" for n in model.graph.node) > 50
    cut = Accumulating(fp16, "pairwise", ()).outputs(image)["logits"]
    spread = float(np.abs(wanted).max())
    assert np.abs(cut - wanted).max() < 0.01 * spread
    halves = Accumulating(fp16, "pairwise", layers)
    rounded = halves.outputs(image)["logits"]
    assert 0 < np.abs(rounded - cut).max() < 0.05 * spread
    assert all(0 < tally.error < tally.signal for tally in halves.tallies.values())
