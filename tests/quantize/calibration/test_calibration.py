from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from export.artifact.artifact import Artifact
from export.artifact.sample import Sample
from export.common.errors import CalibrationError
from export.onnx_export import export_model
from export.onnx_graph.graph import float_tensors, with_input_shape
from quantize.calibration.calibration import collect, probe_graph
from quantize.calibration.histogram import Histogram
from quantize.calibration.measurement import Measurement
from quantize.calibration.statistics import MinMax
from quantize.ranges.ranges import Range
from quantize.ranges.table import RANGE_RULES, range_rule
from tests.conftest import SIZE
from validate.samples.samples import Samples


def test_ranges_are_those_of_onnxruntimes_own_tensors(tiny: Artifact, samples: Samples) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(tiny.path))
    names = sorted(float_tensors(model))
    seen = {name: MinMax() for name in names}
    collect([Measurement(model, {n: [s] for n, s in seen.items()})], tiny.manifest, samples)

    # independently: one output at a time, optimizer off, all images in one list
    for name in names[:: max(1, len(names) // 6)]:
        single = onnx.load(tiny.path)
        if name == "input":
            values = np.concatenate([s.image for s in samples])
        else:
            del single.graph.output[:]
            single.graph.output.append(onnx.ValueInfoProto(name=name))
            options = ort.SessionOptions()
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            session = ort.InferenceSession(single.SerializeToString(), options)
            values = np.concatenate([session.run(None, {"input": s.image})[0] for s in samples])
        assert seen[name].low == pytest.approx(values.min(), rel=1e-4, abs=1e-5)
        assert seen[name].high == pytest.approx(values.max(), rel=1e-4, abs=1e-5)


def test_no_images_is_an_error(tiny: Artifact) -> None:
    with pytest.raises(CalibrationError, match="no calibration images"):
        collect([Measurement(onnx.load(tiny.path), {"input": [MinMax()]})], tiny.manifest, [])


def test_an_image_of_another_size_is_named(tiny: Artifact) -> None:
    wrong = Sample("2007_000001", np.zeros((1, 3, 33, 65), np.float32), "")
    with pytest.raises(CalibrationError, match="2007_000001"):
        collect([Measurement(onnx.load(tiny.path), {"input": [MinMax()]})], tiny.manifest, [wrong])


@pytest.mark.parametrize("values", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf]])
def test_a_tensor_that_is_not_finite_is_named_with_its_image(
    tiny: Artifact, values: list[float]
) -> None:
    image = np.zeros((1, 3, 65, 65), np.float32)
    good = Sample("good", image.copy(), "")
    image[0, 1, 2, 2 : 2 + len(values)] = values
    with pytest.raises(CalibrationError, match="image bad: tensor input is not finite"):
        collect(
            [Measurement(onnx.load(tiny.path), {"input": [MinMax()]})],
            tiny.manifest,
            [good, Sample("bad", image, "")],
        )


def test_the_images_used_are_returned_in_order(tiny: Artifact, samples: Samples) -> None:
    used = collect(
        [Measurement(onnx.load(tiny.path), {"input": [MinMax()]})], tiny.manifest, samples
    )
    assert [(image.id, image.sha256) for image in used] == [(s.id, s.sha256) for s in samples]


def _measured(tiny: Artifact) -> list[str]:
    """The tensors that int8 gives a Q."""
    model = onnx.shape_inference.infer_shapes(onnx.load(tiny.path))
    return sorted(float_tensors(model).keys() - {"logits"})


def test_nothing_leaves_the_graph_but_what_was_asked_for(tiny: Artifact) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(tiny.path))
    asked, other = _measured(tiny)[1:3], _measured(tiny)[3]
    wanted = {name: {"m": MinMax(), "h": Histogram()} for name in asked}
    probe = probe_graph(model, wanted, (1, 3, 65, 65)).model
    outputs = {value.name for value in probe.graph.output}
    touched = {name for name in outputs if name.endswith("::Touch")}
    # per tensor: extremes, mean and the values of the histogram
    assert len(outputs - touched) == 4 * len(asked)
    assert all(any(name.startswith(tensor) for tensor in asked) for name in outputs - touched)
    assert not any(name.split("::")[0] == other for name in outputs - touched)
    shapes = float_tensors(with_input_shape(probe, (1, 3, 65, 65)))
    assert [shapes[name][2:] for name in touched] == [(1, 1)] * len(touched)


def _collected(
    artifact: Artifact, samples: Sequence[Sample], names: Sequence[str]
) -> dict[str, dict[str, Range]]:
    """Ranges of all rules from one pass: rule -> tensor -> (low, high)."""
    model = onnx.shape_inference.infer_shapes(onnx.load(artifact.path))
    rules = {name: range_rule(name) for name in RANGE_RULES}
    statistics = {
        tensor: [rule.statistic(len(samples)) for rule in rules.values()] for tensor in names
    }
    collect([Measurement(model, statistics)], artifact.manifest, samples)
    return {
        name: {tensor: rule.range(statistics[tensor][i]) for tensor in names}
        for i, (name, rule) in enumerate(rules.items())
    }


@pytest.fixture(scope="module")
def ranges(tiny: Artifact, samples: Samples) -> dict[str, dict[str, Range]]:
    return _collected(tiny, samples, _measured(tiny))


def _assert_within_a_bin(
    found: dict[str, dict[str, Range]], expected: dict[str, dict[str, Range]]
) -> None:
    for rule, tensors in expected.items():
        for tensor, (low, high) in tensors.items():
            # bins of a histogram are at most 1/2048 of the largest magnitude
            largest = max(map(abs, expected["minmax"][tensor]))
            assert found[rule][tensor] == pytest.approx((low, high), abs=largest / 2048), (
                rule,
                tensor,
            )


def test_several_statistics_in_one_pass_are_those_of_a_pass_each(
    tiny: Artifact, samples: Samples, ranges: dict[str, dict[str, Range]]
) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(tiny.path))
    for name in RANGE_RULES:
        rule = range_rule(name)
        alone = {tensor: rule.statistic(len(samples)) for tensor in ranges[name]}
        collect([Measurement(model, {n: [s] for n, s in alone.items()})], tiny.manifest, samples)
        assert {n: rule.range(s) for n, s in alone.items()} == ranges[name]


def test_equal_statistics_of_a_tensor_are_collected_once(tiny: Artifact, samples: Samples) -> None:
    updates = []

    class Counting(MinMax):
        def update(self, low: np.ndarray, high: np.ndarray) -> None:
            updates.append(self)
            super().update(low, high)

    both = [Counting(), Counting()]
    collect([Measurement(onnx.load(tiny.path), {"input": both})], tiny.manifest, samples)
    assert len(updates) == len(samples)
    assert (both[0].low, both[0].high) == (both[1].low, both[1].high)
    assert np.isfinite(both[0].low)


@pytest.mark.slow
def test_ranges_do_not_depend_on_the_batch_size(
    tiny: Artifact,
    samples: Samples,
    ranges: dict[str, dict[str, Range]],
    tmp_path: Path,
) -> None:
    other = export_model(
        "tests.networks:tiny", "default", tmp_path, size=SIZE, name="other", batch=2
    )
    assert other.manifest.input.shape[0] == 2
    _assert_within_a_bin(_collected(other, samples, _measured(tiny)), ranges)


def test_more_images_than_are_computed_at_a_time_all_count_once(
    tiny: Artifact, samples: Samples
) -> None:
    once, thrice = Histogram(), Histogram()
    model = onnx.load(tiny.path)
    seen: list[tuple[int, int]] = []
    collect([Measurement(model, {"input": [once]})], tiny.manifest, samples[:1])
    collect(
        [Measurement(model, {"input": [thrice]})],
        tiny.manifest,
        [samples[0]] * 7,
        lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, 7) for done in range(1, 8)]
    np.testing.assert_array_equal(thrice.counts, 7 * once.counts)
    assert once.counts.sum() == 3 * 65 * 65
