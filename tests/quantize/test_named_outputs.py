"""Outputs of a third-party file keep their identity through all stages, whatever their names."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from export.artifact.artifact import Artifact
from export.artifact.sample import Sample
from export.onnx_import import import_model
from quantize.quantization import quantize
from quantize.settings import Settings
from tests.export.build import computed, image, model, plain_session, saved, value, weight

SHAPE = (1, 3, 48, 48)
FREE = (None,) * 4
SAMPLES = [Sample(f"i{seed}", image(*SHAPE, seed=seed), f"{seed:064x}") for seed in range(3)]
FED = image(*SHAPE, seed=9)
TARGETS = ("cpu", "arm", "openvino", "tensorrt", "npu")


pytestmark = pytest.mark.usefixtures("unsimplified")
"""tests/segport has files simplified, and run in a process of their own."""


def _file(folder: Path, tail: list[NodeProto], gives: list[ValueInfoProto], end: str) -> Path:
    """Two convolutions to `end`, and what `tail` makes of that."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4, name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "h"], [end], name="head"),
        *tail,
    ]
    weights = [weight("w", 8, 3, 3, 3), weight("h", 3, 8, 1, 1, seed=1)]
    return saved(model(nodes, [value("x", SHAPE)], gives, weights, opset=17), folder)


def _artifacts(file: Path, folder: Path, **options: Any) -> list[Artifact]:
    """fp32, fp16 and int8 for every target."""
    still: dict[str, Any] = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "range_": "0-1", "classes": "3"}
    fp32 = import_model(file, folder / "fp32", **still, **options)
    half = quantize(fp32, "fp16", folder / "fp16")
    small = [
        quantize(fp32, "int8", folder / target, samples=SAMPLES, settings=Settings(target=target))
        for target in TARGETS
    ]
    return [fp32, half, *small]


def _outputs(artifact: Artifact) -> dict[str, NDArray[Any]]:
    session = plain_session(artifact.path)
    names = [output.name for output in session.get_outputs()]
    kind = np.float16 if artifact.manifest.input.dtype == "float16" else np.float32
    assert names == [output.name for output in artifact.manifest.outputs]
    return dict(zip(names, session.run(names, {"input": FED.astype(kind)}), strict=True))


def _alike(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    return float(np.mean(found == wanted))


def test_logits_called_mask_and_a_mask_called_logits(tmp_path: Path) -> None:
    tail = [helper.make_node("ArgMax", ["mask"], ["logits"], axis=1, keepdims=0)]
    gives = [value("mask", FREE), value("logits", FREE[1:], TensorProto.INT64)]
    file = _file(tmp_path, tail, gives, "mask")
    scores, indices = computed(file, x=FED)
    for artifact in _artifacts(file, tmp_path):
        found = _outputs(artifact)
        assert found["logits"].shape == scores.shape
        assert _alike(found["logits"].argmax(1), indices) > 0.95, artifact.path
        assert _alike(found["mask"], indices) > 0.95, artifact.path


@pytest.mark.parametrize("wanted", ["logits", "mask", "out"])
def test_the_output_asked_for_is_the_one_that_is_quantized(wanted: str, tmp_path: Path) -> None:
    """Three alike: a network's scores, their negatives, and those turned upside down."""
    tail = [
        helper.make_node("Neg", ["out"], ["logits"]),
        helper.make_node("Transpose", ["out"], ["mask"], perm=[0, 1, 3, 2]),
    ]
    names = ("logits", "mask", "out")
    file = _file(tmp_path, tail, [value(name, FREE) for name in names], "out")
    scores = dict(zip(names, computed(file, x=FED), strict=True))
    classes = {name: array.argmax(1) for name, array in scores.items()}
    for artifact in _artifacts(file, tmp_path, output_name=wanted):
        found = _outputs(artifact)
        assert list(found) == ["logits"]
        shares = {name: _alike(found["logits"].argmax(1), classes[name]) for name in names}
        assert shares.pop(wanted) > 0.95, artifact.path
        assert max(shares.values()) < 0.6  # the others are told apart
