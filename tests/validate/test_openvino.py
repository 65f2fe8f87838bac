"""OpenVINO, where it is installed (`pip install 'segport[openvino]'`)."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.artifact.artifact import Artifact
from export.common.errors import ArtifactError, RuntimeUnavailableError
from export.ort.sessions import lacks_vnni
from quantize.quantization import quantize
from quantize.settings import Settings
from validate.data.datasets import open_dataset
from validate.judging.comparison import validate
from validate.judging.conditions import Conditions
from validate.runtime.runtimes import open_runtime
from validate.samples.samples import Preparation, Samples

saturates = pytest.mark.skipif(
    lacks_vnni(), reason="on x86 without VNNI OpenVINO's sums of u8 x s8 saturate at 16 bits"
)


def test_without_the_package_one_line_says_how_to_get_it(
    tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'segport\[openvino\]'"):
        open_runtime(tiny, "openvino", allow_fallback=True)


@pytest.fixture(scope="module")
def for_openvino(
    tiny: Artifact, samples: Samples, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    pytest.importorskip("openvino")
    folder = tmp_path_factory.mktemp("openvino")
    shutil.copy(tiny.path, folder)
    shutil.copy(tiny.path.with_suffix(".json"), folder)
    settings = Settings(target="openvino")
    return quantize(tiny, "int8", folder, samples=samples, settings=settings)


def test_float32_is_float32_although_the_cpu_has_bfloat16(tiny: Artifact, samples: Samples) -> None:
    pytest.importorskip("openvino")
    found, expected = open_runtime(tiny, "openvino"), open_runtime(tiny, "ort-cpu")
    assert (found.name, found.provider) == ("openvino", "OpenVINO CPU")
    assert found.execution["inference_precision"] == "f32"
    assert found.execution["execution_devices"] == ["CPU"]
    assert found.execution["threads"] >= 1 and found.execution["device"]
    for sample in samples:
        logits = found.engine.outputs(sample.image)["logits"]
        wanted = expected.engine.outputs(sample.image)["logits"]
        # bfloat16 has 8 bits and would miss this by a factor of 1000
        np.testing.assert_allclose(logits, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_outputs_of_one_run_survive_the_next(tiny: Artifact, samples: Samples) -> None:
    pytest.importorskip("openvino")
    engine = open_runtime(tiny, "openvino").engine
    first = engine.outputs(samples[0].image)["logits"]
    kept = first.copy()
    engine.outputs(samples[1].image)
    np.testing.assert_array_equal(first, kept)


def test_float16_files_and_inputs_run(
    tiny: Artifact, fp16: Artifact, half_io: Artifact, samples: Samples
) -> None:
    pytest.importorskip("openvino")
    expected = open_runtime(tiny).engine.outputs(samples[0].image)["logits"]
    for artifact in (fp16, half_io):
        opened = open_runtime(artifact, "openvino")
        if opened.execution["inference_precision"] == "f32":
            assert "computes float16 files in float32" in opened.warnings[0]
        logits = opened.engine.outputs(samples[0].image)["logits"]
        assert logits.dtype == np.float32
        assert np.abs(logits - expected).max() < 0.02 * np.abs(expected).max()


@saturates
def test_int8_files_run_in_int8_and_agree_with_onnxruntime(
    tiny: Artifact, int8: Artifact, for_openvino: Artifact, samples: Samples
) -> None:
    """They round ties differently: by less than what int8 itself changes, and for no worse.

    What that does to classes shows where two classes are further apart than int8's own error.
    """
    pytest.importorskip("openvino")

    def logits(artifact: Artifact, runtime: str) -> np.ndarray:
        engine = open_runtime(artifact, runtime).engine
        return np.concatenate([engine.outputs(sample.image)["logits"] for sample in samples])

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.sqrt(np.mean((one - other) ** 2)))

    exact = logits(tiny, "ort-cpu")
    for artifact in (int8, for_openvino):
        assert open_runtime(artifact, "openvino").int8_layers
        found, expected = logits(artifact, "openvino"), logits(artifact, "ort-cpu")
        second, first = np.sort(exact, axis=1)[:, -2:].swapaxes(0, 1)
        clear = first - second > distance(expected, exact)
        same = found.argmax(1) == expected.argmax(1)
        assert same[clear].mean() > 0.99 and same.mean() > 0.98 and clear.mean() > 0.95
        assert 0 < distance(found, expected) < distance(expected, exact)
        assert distance(found, exact) < 1.05 * distance(expected, exact)


@saturates
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("target", ["cpu", "openvino"])
def test_int8_files_of_a_real_network_give_the_same_classes(
    target: str, trained: Artifact, shared: Path, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    drawn = open_dataset(f"{shared}/voc/VOCdevkit:train", "train", masks=False).sample(4, 0)
    images = Samples(drawn, Preparation.for_artifact(trained.manifest, "squash"))
    made = quantize(
        trained, "int8", tmp_path, samples=images,
        settings=Settings(target=target),
    )  # fmt: skip
    found, expected = (open_runtime(made, runtime) for runtime in ("openvino", "ort-cpu"))
    same = [
        found.mask(found.engine.outputs(s.image)) == expected.mask(expected.engine.outputs(s.image))
        for s in images
    ]
    assert np.mean(same) > 0.99


def test_float_layers_are_computed_in_what_the_manifest_says(for_openvino: Artifact) -> None:
    openvino = pytest.importorskip("openvino")
    assert for_openvino.manifest.checks["int8"]["inference_precision"] == "f32"
    checks = {"int8": {**for_openvino.manifest.checks["int8"], "inference_precision": "bf16"}}
    other = replace(for_openvino, manifest=for_openvino.manifest.model_copy(
        update={"checks": checks}
    ))  # fmt: skip
    found = [open_runtime(one, "openvino").execution for one in (for_openvino, other)]
    # a CPU without bfloat16 computes in float32, which the result says then
    able = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    asked = "bf16" if able else "f32"
    assert [one["inference_precision"] for one in found] == ["f32", asked]


def test_the_share_of_int8_is_openvinos_own(
    for_openvino: Artifact, voc: Path, tmp_path: Path
) -> None:
    """onnxruntime cannot verify a file for OpenVINO; OpenVINO's execution graph can."""
    result = validate([for_openvino], f"{voc}:val", tmp_path, Conditions(runtime="openvino"))
    fp32, int8 = result.artifacts
    assert (int8.runtime, int8.provider) == ("openvino", "OpenVINO CPU")
    assert int8.execution["inference_precision"] == "f32"
    assert int8.int8_macs_share == 1.0 and int8.int8_verified and int8.int8_note is None
    assert fp32.int8_macs_share is None and fp32.latency_ms is not None
    assert result.environment["versions"]["openvino"]


def test_a_file_openvino_cannot_read_is_one_line(tiny: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no onnx at all")
    with pytest.raises(ArtifactError, match=r"broken\.onnx: OpenVINO cannot load it") as caught:
        open_runtime(Artifact(broken, tiny.manifest), "openvino")
    assert "\n" not in str(caught.value)
