"""Searches of `segport quantize` on networks of real size."""

import json
import shutil
import time
from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from tests.segport.command import segport

NORM = ("--mean", 0.485, 0.456, 0.406, "--std", 0.229, 0.224, 0.225)
BUDGET = 99.5


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "target"),
    [("espnetv2_s1.0_voc_384", "cpu"), ("tf_deeplabv3_mobilenetv2_voc_513", "npu")],
)
def test_a_search_ends_in_time_with_a_file_or_the_frontier(
    name: str, target: str, shared: Path, tmp_path: Path
) -> None:
    assert segport("import", shared / f"networks/{name}.onnx", *NORM, "--name", "net",
                   "-o", tmp_path).code == 0  # fmt: skip
    begun = time.monotonic()
    answer = segport("quantize", tmp_path / "net-fp32.onnx", "--precision", "int8",
                     "--target", target, "--calibration", f"{shared}/voc/VOCdevkit:train",
                     "--samples", 4, "--min-agreement", BUDGET, "--search-minutes", 0.4,
                     "-o", tmp_path)  # fmt: skip
    taken = time.monotonic() - begun
    assert "Traceback" not in answer.err
    manifests = list(tmp_path.glob("net-int8*.json"))
    if answer.code == 0:
        search = json.loads(manifests[0].read_text())["checks"]["int8"]["search"]
        chosen = search["chosen"]
        assert chosen["score"] >= BUDGET
        assert chosen["accepted"] or (
            chosen["images"] >= 64 and "time is over" in search["verdict"]
        )
        shares = [one["int8_macs_share"] for one in search["frontier"]]
        scores = [one["score"] for one in search["frontier"]]
        # more in float is no worse, and all of it is fp32
        assert shares == sorted(shares, reverse=True) and scores == sorted(scores)
        assert (shares[-1], scores[-1]) == (0, 100)
    else:
        assert answer.code == 2 and len(answer.errors) == 1
        assert "cannot be met" in answer.errors[0] and "100.00 (0 %)" in answer.errors[0]
        assert not manifests
    assert taken < 120  # the limit, and what comes before and after a search on a busy machine


@pytest.mark.shared
@pytest.mark.slow
def test_16_bit_activations_reach_what_8_bit_weights_do_not(
    shared: Path, trained: Artifact, tmp_path: Path
) -> None:
    judges = tmp_path / "judges"
    judges.mkdir()
    for photo in sorted((shared / "voc/VOCdevkit/VOC2012/JPEGImages").glob("*.jpg"))[:16]:
        shutil.copy(photo, judges)
    answer = segport("quantize", trained.path, "--precision", "int8", "--target", "qnn-a16w8",
                     "--calibration", f"{shared}/voc/VOCdevkit:train", "--samples", 32,
                     "--data", judges, "--min-agreement", 99.8, "-o", tmp_path)  # fmt: skip
    assert (answer.code, answer.errors) == (0, [])
    (manifest,) = tmp_path.glob("*-int8-qnn-a16w8.json")
    facts = json.loads(manifest.read_text())["checks"]["int8"]
    assert facts["search"]["chosen"]["score"] >= 99.8 > facts["search"]["frontier"][0]["score"]
    assert len(facts["wide_weights"]) == facts["search"]["chosen"]["kept_float"] > 0
    assert facts["quantized_macs_share"] == 1  # nothing became float
    assert "layers with int16 weights" in answer.out
    assert segport("lint", tmp_path / f"{manifest.stem}.onnx").code == 0
