"""Calibration of an artifact that takes any size, with images of several sizes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.artifact.artifact import Artifact, write_artifact
from export.artifact.sample import Sample
from export.onnx_export import export_model
from export.ort.sessions import open_session, run
from quantize.agreement import agreements
from quantize.quantization import quantize
from quantize.self_check import SelfCheck
from quantize.settings import Settings
from segport.artifact_lines import artifact_lines

pytestmark = pytest.mark.slow
SIZES = [(520, 693), (693, 520), (520, 693), (520, 520), (520, 780), (780, 520), (600, 520)]


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("dynamic")
    return export_model("tests.networks:tiny", "default", folder, size=None, name="tiny")


def _samples(sizes: Sequence[tuple[int, int]]) -> list[Sample]:
    rng = np.random.default_rng(0)
    return [
        Sample(f"i{index}", rng.standard_normal((1, 3, *size)).astype(np.float32), f"{index:064x}")
        for index, size in enumerate(sizes)
    ]


def test_ranges_hold_over_images_of_all_sizes(dynamic: Artifact, tmp_path: Path) -> None:
    samples = _samples(SIZES)
    samples[4].image[0, 0, 519, 779] = 50  # beyond what the first image has room for
    samples[5].image[0, 0, 779, 519] = -40
    made = quantize(dynamic, "int8", tmp_path, samples=samples, settings=_settings("minmax"))
    low, high = made.manifest.checks["int8"]["ranges"]["input"]
    assert (low, high) == (-40, 50)


def _settings(rule: str) -> Settings:
    return Settings(target="cpu", range=rule)


@pytest.mark.parametrize("rule", ["percentile", "entropy", "mse"])
def test_order_of_the_sizes_does_not_matter(dynamic: Artifact, tmp_path: Path, rule: str) -> None:
    samples = _samples(SIZES[:3])
    found = [
        quantize(dynamic, "int8", tmp_path / name, samples=some, settings=_settings(rule))
        for name, some in (("a", samples), ("b", samples[::-1]))
    ]
    first, second = (_with_zero(one.manifest.checks["int8"]["ranges"]) for one in found)
    assert first == second


def _with_zero(ranges: dict[str, list[float]]) -> dict[str, tuple[float, float]]:
    """What is quantized: 0 is always within, so of a low end above it nothing is left."""
    return {name: (min(low, 0.0), max(high, 0.0)) for name, (low, high) in ranges.items()}


def test_shares_are_those_at_the_manifests_size(dynamic: Artifact, tmp_path: Path) -> None:
    """Another first image must not change what `validate` will find at that size."""
    first = next(n.name for n in onnx.load(dynamic.path).graph.node if n.op_type == "Conv")
    settings = Settings(target="cpu", range="minmax", keep_float=(first,))
    shares = set()
    for size in ((65, 65), (33, 129)):
        folder = tmp_path / str(size[0])
        made = quantize(dynamic, "int8", folder, samples=_samples([size]), settings=settings)
        shares.add(made.manifest.checks["int8"]["quantized_macs_share"])
    assert len(shares) == 1


def test_the_int8_file_takes_any_size(dynamic: Artifact, tmp_path: Path) -> None:
    made = quantize(dynamic, "int8", tmp_path, samples=_samples(SIZES[:2]))
    session = open_session(made.path)
    for size in ((65, 97), (520, 693)):
        image = _samples([size])[0].image
        (logits,) = run(session, image)
        (expected,) = run(open_session(dynamic.path), image)
        assert logits.shape == (1, 21, *size)
        assert (logits.argmax(1) == expected.argmax(1)).mean() > 0.8


def test_both_sizes_are_judged_before_a_file_is_kept(dynamic: Artifact, tmp_path: Path) -> None:
    made = quantize(
        dynamic, "int8", tmp_path, samples=_samples([(65, 97)]), check=SelfCheck(least=0.0)
    )
    found = made.manifest.checks["self"]
    assert list(found["by_size"]) == ["65x97", "65x65"]  # 65 = 2 * 32 + 1, 97 = 3 * 32 + 1
    assert found["agreement"] == min(found["by_size"].values())
    assert "at 65x65" in artifact_lines(made)


def test_a_file_that_is_right_at_one_size_only_is_refused(
    dynamic: Artifact, tmp_path: Path
) -> None:
    """Its logits are turned round wherever the height is not 97."""
    model = onnx.load(dynamic.path)
    (out,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["right" if name == out.name else name for name in node.output]
    for name, number in (("full", 97), ("axis", 2)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(number), name))
    make = onnx.helper.make_node
    model.graph.node.extend(
        [
            make("Shape", ["right"], ["shape"]),
            make("Gather", ["shape", "axis"], ["height"]),
            make("Equal", ["height", "full"], ["same"]),
            make("Neg", ["right"], ["wrong"]),
            make("Where", ["same", "right", "wrong"], [out.name]),
        ]
    )
    broken = write_artifact(model.SerializeToString(), dynamic.manifest, tmp_path)
    found = agreements(dynamic, broken, _samples([(97, 97)]))
    assert found["97x97"] == 100 and found["65x65"] < 50
