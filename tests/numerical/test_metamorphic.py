"""What must not change an int8 file's masks: the same network and images, written otherwise."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.artifact.artifact import Artifact, write_artifact
from export.artifact.sample import Sample
from quantize.quantization import quantize
from quantize.settings import Settings
from tests.export.build import computed, constant
from tests.networks import CLASSES

STEM, BLOCK, POOL, HEAD = (
    f"network.network.{name}" for name in ("stem.0", "block.2", "pool.1", "head")
)
RULES = ("minmax", "percentile", "mse")


def pictures(seed: int = 0, count: int = 3) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    cells = rng.normal(size=(count, 1, 3, 13, 13)).astype(np.float32)
    return list(cells.repeat(5, 3).repeat(5, 4))


def samples(images: list[NDArray[np.float32]]) -> list[Sample]:
    return [Sample(str(i), image, f"{i:064x}") for i, image in enumerate(images)]


def edited(tiny: Artifact, folder: Path, edit: Callable[[ModelProto], None]) -> Artifact:
    """The artifact of a network that was written otherwise."""
    made = onnx.load(tiny.path)
    edit(made)
    onnx.checker.check_model(made, full_check=True)
    folder.mkdir()
    return write_artifact(made.SerializeToString(), tiny.manifest, folder)


def logits(
    artifact: Artifact, folder: Path, given: list[Sample], rule: str, scale: float = 1.0
) -> NDArray[np.float32]:
    """What the int8 file gives on images that calibration did not see, (images, ...)."""
    settings = Settings(target="cpu", range=rule)
    made = quantize(artifact, "int8", folder, samples=given, settings=settings)
    images = [image * np.float32(scale) for image in pictures(7)]
    return np.stack([computed(made.path, input=image)[0] for image in images])


def tensor(made: ModelProto, name: str) -> TensorProto:
    return next(t for t in made.graph.initializer if t.name == name)


def change(
    made: ModelProto, name: str, by: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> None:
    found = tensor(made, name)
    found.CopyFrom(constant(name, np.ascontiguousarray(by(numpy_helper.to_array(found)))))


@pytest.mark.parametrize("rule", RULES)
def test_a_rescaled_input_and_first_weights(tiny: Artifact, tmp_path: Path, rule: str) -> None:
    """By a power of two: every scale changes by it, and no integer."""
    plain = logits(tiny, tmp_path / "a", samples(pictures()), rule)
    other = edited(tiny, tmp_path / "net", lambda m: change(m, f"{STEM}.weight", lambda w: w / 8))
    given = samples([image * 8 for image in pictures()])
    np.testing.assert_array_equal(logits(other, tmp_path / "b", given, rule, 8), plain)


def test_permuted_input_channels(tiny: Artifact, tmp_path: Path) -> None:
    """Weights are rounded one after the other, so to nearest here: the order must not count."""
    order = [2, 0, 1]
    other = edited(
        tiny, tmp_path / "net", lambda m: change(m, f"{STEM}.weight", lambda w: w[:, order])
    )
    settings = Settings(target="cpu", range="minmax", skipped=("gptq",))
    one, two = (
        quantize(artifact, "int8", tmp_path / name, samples=given, settings=settings)
        for artifact, name, given in (
            (tiny, "a", samples(pictures())),
            (other, "b", samples([image[:, order] for image in pictures()])),
        )
    )
    for image in pictures(7):
        (plain,) = computed(one.path, input=image)
        (permuted,) = computed(two.path, input=np.ascontiguousarray(image[:, order]))
        np.testing.assert_array_equal(permuted, plain)


@pytest.mark.parametrize("rule", RULES)
def test_permuted_channels_inside_and_permuted_classes(
    tiny: Artifact, tmp_path: Path, rule: str
) -> None:
    rng = np.random.default_rng(0)
    inner, classes = rng.permutation(8), rng.permutation(CLASSES)

    def edit(made: ModelProto) -> None:
        for part in ("weight", "bias"):
            change(made, f"{POOL}.{part}", lambda w: w[inner])
            change(made, f"{HEAD}.{part}", lambda w: w[classes])
        change(made, f"{HEAD}.weight", lambda w: w[:, [*range(8), *(8 + inner)]])

    plain = logits(tiny, tmp_path / "a", samples(pictures()), rule)
    other = logits(edited(tiny, tmp_path / "net", edit), tmp_path / "b", samples(pictures()), rule)
    agree = (other.argmax(2) == np.argsort(classes)[plain.argmax(2)]).mean()
    assert agree >= 0.999  # the head's sums are of floats, and its order is another


@pytest.mark.parametrize("rule", RULES)
def test_a_convolution_split_in_two(tiny: Artifact, tmp_path: Path, rule: str) -> None:
    """Each half has a range of its own now, which Concat brings together."""

    def edit(made: ModelProto) -> None:
        nodes = list(made.graph.node)
        at = next(
            i for i, n in enumerate(nodes) if n.op_type == "Conv" and f"{BLOCK}.weight" in n.input
        )
        conv = nodes[at]
        halves = []
        for half in (0, 4):
            names = []
            for part in ("weight", "bias"):
                values = numpy_helper.to_array(tensor(made, f"{BLOCK}.{part}"))[half : half + 4]
                names.append(f"half{half}.{part}")
                made.graph.initializer.append(constant(names[-1], values))
            result = f"half{half}"
            halves.append(helper.make_node("Conv", [conv.input[0], *names], [result], name=result))
        joined = helper.make_node(
            "Concat", [n.output[0] for n in halves], [conv.output[0]], name="joined", axis=1
        )
        nodes[at : at + 1] = [*halves, joined]
        del made.graph.node[:]
        made.graph.node.extend(nodes)

    plain = logits(tiny, tmp_path / "a", samples(pictures()), rule)
    other = logits(edited(tiny, tmp_path / "net", edit), tmp_path / "b", samples(pictures()), rule)
    assert (other.argmax(2) == plain.argmax(2)).mean() >= 0.98


@pytest.mark.parametrize("rule", [*RULES, "entropy", "moving-average"])
def test_duplicated_images(tiny: Artifact, tmp_path: Path, rule: str) -> None:
    once = samples(pictures())
    twice = [Sample(f"{one.id}-{copy}", one.image, one.sha256) for copy in "ab" for one in once]
    plain = logits(tiny, tmp_path / "a", once, rule)
    np.testing.assert_array_equal(logits(tiny, tmp_path / "b", twice, rule), plain)
