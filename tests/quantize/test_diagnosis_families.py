"""Plant a fault into each family of networks; the diagnosis has to name that layer.

The layers are those of real size that tests/quantize/test_diagnosis.py has in a tiny network.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from benchmarks.networks.table import exported
from export.artifact.artifact import Artifact, write_artifact
from quantize.diagnosis.diagnosis import diagnose
from quantize.quantization import quantize
from quantize.settings import Settings
from tests.quantize.plants import Array, activation_scale, edited, fold_twice, weight_names
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples

FAMILIES = (
    "unet_transposed_k2", "unet_leaky_instance_norm", "mobile_hard_swish",
    "transformer_attention", "pyramid_prelu", "separable_atrous",
)  # fmt: skip
FLOAT16_MOST = 65504
PLACES = (0.25, 0.6)
"""Where among the convolutions the faults lie: in the encoder and behind it."""

pytestmark = [pytest.mark.shared, pytest.mark.slow]


class Subject(NamedTuple):
    """A family in fp32 and int8, two images, and the layers to break."""

    fp32: Artifact
    int8: Artifact
    samples: Samples
    layers: tuple[str, ...]


@pytest.fixture(scope="module", params=FAMILIES)
def subject(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Subject:
    folder, voc = tmp_path_factory.mktemp(request.param), shared / "voc/VOCdevkit"
    fp32 = exported(request.param, folder, voc, (96, 128))
    dataset = open_dataset(f"{voc}:val", "val", masks=False).first(2)
    samples = Samples(dataset, Preparation.for_artifact(fp32.manifest, "squash"))
    settings = Settings(target="cpu", skipped=("convolve-before-resize",))
    int8 = quantize(fp32, "int8", folder, samples=samples, settings=settings)
    return Subject(fp32, int8, samples, _convolutions(fp32, int8))


def _convolutions(fp32: Artifact, int8: Artifact) -> tuple[str, ...]:
    """Names of convolutions whose result int8 rounds, at `PLACES`."""
    nodes = onnx.load(int8.path).graph.node
    rounded = {n.input[0] for n in nodes if n.op_type == "QuantizeLinear"}
    there = {n.name for n in nodes if n.op_type == "Conv" and n.output[0] in rounded}
    found = [n.name for n in onnx.load(fp32.path).graph.node if n.name in there]
    return tuple(found[int(place * len(found))] for place in PLACES)


def _named(subject: Subject, other: Artifact, fp32: Artifact | None = None) -> str:
    found = diagnose(fp32 or subject.fp32, other, subject.samples)
    assert found.suspect.stands_out, found.suspect
    return found.suspected.layer


def test_a_sound_file_has_no_suspect(subject: Subject) -> None:
    assert not diagnose(subject.fp32, subject.int8, subject.samples).suspect.stands_out


@pytest.mark.parametrize("factor", [16, 1 / 16])
def test_a_wrong_scale(factor: float, subject: Subject, tmp_path: Path) -> None:
    for layer in subject.layers:
        scale = activation_scale(subject.int8, layer)
        faulty = edited(subject.int8, tmp_path / layer, {scale: lambda v: v * np.float32(factor)})
        assert _named(subject, faulty) == layer


def test_weights_16_times_too_large(subject: Subject, tmp_path: Path) -> None:
    for layer in subject.layers:
        weight = weight_names(subject.fp32, layer)[0]
        faulty = edited(subject.fp32, tmp_path / layer, {weight: lambda v: v * np.float32(16)})
        assert _named(subject, faulty) == layer


def test_a_weight_that_is_nan(subject: Subject, tmp_path: Path) -> None:
    def broken(values: Array) -> Array:
        copy = values.copy()
        copy.flat[-1] = np.nan
        return copy

    for layer in subject.layers:
        weight = weight_names(subject.int8, layer)[0]
        faulty = edited(subject.int8, tmp_path / layer, {weight: broken})
        assert _named(subject, faulty) == layer


def test_a_batch_norm_folded_twice(subject: Subject, tmp_path: Path) -> None:
    settings = Settings(target="cpu", skipped=("gptq", "convolve-before-resize"))
    for layer in subject.layers:
        twice = fold_twice(subject.fp32, layer, tmp_path / layer)
        assert _named(subject, twice) == layer
        int8 = quantize(twice, "int8", tmp_path / layer, samples=subject.samples, settings=settings)
        parent = subject.fp32.manifest.sha256
        faulty = edited(int8, tmp_path / layer, {}, parent_sha256=parent)
        assert _named(subject, faulty) == layer


def test_a_float16_overflow(subject: Subject, tmp_path: Path) -> None:
    for layer in subject.layers:
        hot = _overflowing(subject.fp32, layer, tmp_path / layer)
        naive = quantize(
            hot, "fp16", tmp_path / layer, samples=subject.samples, settings=Settings(guard=False)
        )
        assert _named(subject, naive, hot) == layer


def _overflowing(fp32: Artifact, layer: str, folder: Path) -> Artifact:
    """The same network, but the result of `layer` is large and made small again behind it."""
    model = onnx.load(fp32.path)
    graph = model.graph
    place = next(i for i, node in enumerate(graph.node) if node.name == layer)
    node = graph.node[place]
    factor = np.float32(50 * FLOAT16_MOST)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for name in node.input[1:]:
        values = numpy_helper.to_array(constants[name]) * factor
        constants[name].CopyFrom(numpy_helper.from_array(values, name))
    graph.initializer.append(numpy_helper.from_array(factor, "factor"))
    small, node.output[0] = node.output[0], "large"
    graph.node.insert(place + 1, helper.make_node("Div", ["large", "factor"], [small], "small"))
    return write_artifact(model.SerializeToString(), fp32.manifest, folder)
