"""int8 files that give a mask end in the form that is fastest on their target."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from export.artifact.artifact import Artifact, write_artifact
from export.common.errors import QuantizeError
from export.mask_head.cells import cells
from export.mask_head.heads import HEADS
from export.mask_head.nodes import Nodes
from export.mask_head.tail import Tail
from export.onnx_export import export_model
from export.onnx_graph.graph import normalise
from export.ort.sessions import open_session, run
from quantize.lint.lint import lint
from quantize.quantization import quantize
from quantize.settings import Settings
from tests.conftest import SIZE
from tests.export.build import computed, operators
from validate.samples.samples import Samples


def exported(folder: Path, output: str, network: str = "coarse", batch: int = 1) -> Artifact:
    return export_model(
        f"tests.networks:{network}", "default", folder, size=SIZE, name=network, output=output,
        batch=batch,
    )  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A network that gives logits and mask."""
    return exported(tmp_path_factory.mktemp("both"), "both")


def alone(both: Artifact, output: str, folder: Path) -> Artifact:
    """The same with one of its outputs and what makes it."""
    model = onnx.utils.Extractor(onnx.load(both.path)).extract_model(["input"], [output])
    manifest = both.manifest.model_copy(update={"outputs": (both.manifest.output(output),)})
    return write_artifact(normalise(model).SerializeToString(), manifest, folder)


@pytest.fixture(scope="module")
def masked(both: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A network whose only output is the mask."""
    return alone(both, "mask", tmp_path_factory.mktemp("masked"))


def int8(artifact: Artifact, samples: Samples, folder: Path, target: str) -> Artifact:
    return quantize(
        artifact, "int8", folder, samples=samples,
        settings=Settings(target=target),
    )  # fmt: skip


def test_files_interpolate_only_where_the_class_changes(
    masked: Artifact, samples: Samples, tmp_path: Path
) -> None:
    made = int8(masked, samples, tmp_path, "cpu")
    others = {name: int8(masked, samples, tmp_path, name) for name in ("openvino", "tensorrt")}
    for artifact in (made, others["openvino"]):
        assert "NonZero" in operators(artifact.path)
        facts = artifact.manifest.checks["int8"]["mask_head"]
        assert facts["form"] == "cells"
        assert facts["pixels"] == 2 * SIZE[0] * SIZE[1]
        assert facts["ties"] <= 0.001 * facts["pixels"]
        assert lint(artifact) == []
    assert operators(others["tensorrt"].path)[-3:] == ["Resize", "ArgMax", "Cast"]
    assert "mask_head" not in others["tensorrt"].manifest.checks["int8"]
    assert made.manifest.checks["int8"]["int8_macs_share"] == 1


@pytest.mark.slow
def test_a_batch_of_masks(samples: Samples, tmp_path: Path) -> None:
    made = int8(exported(tmp_path, "mask", batch=2), samples, tmp_path, "cpu")
    assert made.manifest.checks["int8"]["mask_head"]["form"] == "channels-last"
    assert made.manifest.checks["int8"]["lossless"] == {"merge-pixels": ["node_Conv_27"]}
    assert lint(made) == []
    session = open_session(made.path)
    first, second = (samples[i].image for i in range(2))
    (both,) = run(session, np.concatenate([first, second]))
    (other,) = run(session, np.concatenate([second, first]))
    np.testing.assert_array_equal(both, other[::-1])


@pytest.mark.slow
def test_small_cells_are_all_interpolated(samples: Samples, tmp_path: Path) -> None:
    made = int8(exported(tmp_path, "mask", "tiny"), samples, tmp_path, "cpu")
    assert made.manifest.checks["int8"]["mask_head"]["form"] == "channels-last"
    assert operators(made.path)[-4:] == ["Transpose", "Resize", "ArgMax", "Cast"]


def test_the_mask_is_that_of_the_logits(
    both: Artifact, masked: Artifact, samples: Samples, tmp_path: Path
) -> None:
    """The same network without the mask, its argmax taken by numpy."""
    logits = int8(alone(both, "logits", tmp_path), samples, tmp_path, "cpu")
    mask = int8(masked, samples, tmp_path, "cpu")
    image = samples[3].image
    (expected,), (found,) = (computed(made.path, input=image) for made in (logits, mask))
    differ = found != expected.argmax(1)
    top = np.sort(expected, axis=1)[:, -2:]
    tied = top[:, 1] - top[:, 0] <= 1e-4 * np.abs(expected).max()
    assert not (differ & ~tied).any()
    assert len(np.unique(found)) > 1


def test_a_head_that_gives_other_classes_is_refused(
    masked: Artifact, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(tail: Tail) -> Nodes:
        made = cells(tail)
        made.nodes[-1].output[0] = "right"
        made.add("Max", "right", made.constant(np.uint8(3)), output=tail.mask)
        return made

    monkeypatch.setitem(HEADS, "cells", broken)
    with pytest.raises(QuantizeError, match=r"mask head cells: .* pixels of image"):
        int8(masked, samples, tmp_path, "cpu")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_both_outputs_stay_as_they_are(both: Artifact, samples: Samples, tmp_path: Path) -> None:
    made = int8(both, samples, tmp_path, "cpu")
    assert {o.name for o in onnx.load(made.path).graph.output} == {"logits", "mask"}
    assert "NonZero" not in operators(made.path)
