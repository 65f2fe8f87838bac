"""What the benchmarks compare: every peer is made and run as its name says."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from benchmarks.child import quantize_apart
from benchmarks.common import FP32, PROTOCOL, Score, judge
from benchmarks.peers import MAIN, OTHERS, PEERS, QUANTIZERS, SEGPORT
from benchmarks.runs import in_onnxruntime, in_openvino, with_argmax
from export.artifact.artifact import Artifact
from export.artifact.sample import Sample
from export.onnx_graph.graph import initializers
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation


@pytest.fixture
def samples() -> list[Sample]:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 1, 3, 65, 65)).astype(np.float32)
    return [Sample(f"image {at}", image, "0" * 64) for at, image in enumerate(images)]


def test_every_peer_of_the_comparison_is_there() -> None:
    assert set(PEERS) == {
        "onnxruntime u8s8 per-channel", "onnxruntime defaults", "nncf in openvino",
        "nncf in onnxruntime", "openvino fp32", "onnxruntime fp32",
    }  # fmt: skip
    assert MAIN == (SEGPORT, "onnxruntime u8s8 per-channel", "onnxruntime defaults", "nncf")
    assert set(MAIN) | set(OTHERS) < set(QUANTIZERS)
    assert PEERS["nncf in openvino"].opened is PEERS["openvino fp32"].opened is in_openvino


@pytest.mark.parametrize(
    ("name", "activation", "per_channel"),
    [
        ("onnxruntime defaults", TensorProto.INT8, False),
        ("onnxruntime u8s8 per-channel", TensorProto.UINT8, True),
        ("onnxruntime u8s8 per-tensor", TensorProto.UINT8, False),
        ("onnxruntime s8s8 symmetric", TensorProto.INT8, False),
        ("onnxruntime u8s8 entropy", TensorProto.UINT8, True),
    ],
)
def test_onnxruntimes_files_are_of_the_kind_they_are_called(
    name: str,
    activation: int,
    per_channel: bool,
    tiny: Artifact,
    samples: list[Sample],
    tmp_path: Path,
) -> None:
    target = tmp_path / "made.onnx"
    QUANTIZERS[name].make(tiny.path, target, samples)  # type: ignore[arg-type]
    graph = onnx.load(target).graph
    constants = initializers(graph)
    first = next(node for node in graph.node if node.op_type == "QuantizeLinear")
    assert constants[first.input[2]].data_type == activation
    conv = next(node for node in graph.node if node.op_type == "Conv")
    weight = next(node for node in graph.node if conv.input[1] in node.output)
    scales = list(constants[weight.input[1]].dims)
    assert scales == ([constants[weight.input[0]].dims[0]] if per_channel else [])


def test_both_forms_of_a_file_give_the_same_mask(tiny: Artifact, samples: list[Sample]) -> None:
    image = samples[0].image
    for opened in (in_onnxruntime, in_openvino):
        masks = [opened(path)(image) for path in (tiny.path, with_argmax(tiny.path))]
        assert masks[0].shape == masks[1].shape == (1, 65, 65)
        assert np.array_equal(*masks) and len(np.unique(masks[0])) > 1
    # a file that gives a mask has nothing to append to
    appended = with_argmax(tiny.path)
    assert with_argmax(appended) == appended


def test_masks_are_judged_against_fp32(voc: Path, tiny: Artifact) -> None:
    images = open_dataset(f"{voc}:val", "val")
    preparation = Preparation.for_artifact(tiny.manifest, PROTOCOL)
    labels = iter([preparation.labelled(item).label for item in images.items])
    current: list[NDArray[np.uint8]] = []

    def perfect(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        label = next(labels)
        assert label is not None
        current[:] = [np.where(label == 255, 0, label)[None].astype(np.uint8)]
        return current[0]

    def worse(image: NDArray[np.float32]) -> NDArray[np.uint8]:
        mask = current[0].copy()
        mask[:, :13] = 20 - mask[:, :13]  # 13 of 65 rows, but for class 10
        return mask

    found = judge({FP32: perfect, "worse": worse}, images, preparation)
    assert found[FP32] == Score(100.0, 0.0, 100.0)
    assert found["worse"].miou == pytest.approx(100 - found["worse"].drop) and (
        found["worse"].miou < 95
    )
    assert 80 <= found["worse"].agreement < 90


def test_a_process_beyond_its_memory_is_stopped(tiny: Artifact, tmp_path: Path) -> None:
    target = tmp_path / "made.onnx"
    made = quantize_apart("onnxruntime defaults", tiny.path, target, 2, limit_gb=0.01)
    assert made.error == "more than 0.01 GB of memory" and made.seconds is None
    assert not target.exists()


@pytest.mark.shared
def test_a_quantization_is_measured_in_a_process_of_its_own(tiny: Artifact, tmp_path: Path) -> None:
    target = tmp_path / "made.onnx"
    made = quantize_apart("onnxruntime defaults", tiny.path, target, 2)
    assert made.error is None and target.is_file()
    assert made.seconds is not None and 0 < made.seconds < 60
    assert made.peak_mb is not None and made.before_mb is not None
    # torch alone takes 500: it is not imported there, whatever the process that asks has
    assert 50 < made.before_mb <= made.peak_mb < 450


def test_what_a_child_says_last_is_why_it_failed(tiny: Artifact, tmp_path: Path) -> None:
    made = quantize_apart("no such quantizer", tiny.path, tmp_path / "made.onnx", 2)
    assert made.error == "KeyError: 'no such quantizer'"
