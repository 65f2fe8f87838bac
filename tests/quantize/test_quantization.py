from pathlib import Path
from typing import Any

import pytest
from onnx import ModelProto

from export.artifact.artifact import Artifact
from export.artifact.manifest import ImageRef
from export.common.errors import ArtifactError, QuantizeError, UsageError
from quantize.calibration import calibration
from quantize.calibration.measurement import Joint
from quantize.lossless.lossless import LOSSLESS
from quantize.quantization import Order, quantize, quantize_all
from quantize.settings import Settings
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples


@pytest.mark.parametrize(
    ("precision", "settings", "message"),
    [
        ("int4", Settings(), "did you mean 'int8'"),
        ("int8", Settings(target="cpuu"), "did you mean 'cpu'"),
        ("int8", Settings(range="min-max"), "did you mean 'minmax'"),
        ("int8", Settings(added=("equalise",)), "did you mean 'equalize'"),
        ("int8", Settings(skipped=("gtpq",)), "did you mean 'gptq'"),
        ("int8", Settings(added=("gptq",), skipped=("gptq",)), "choose one of them"),
        ("fp16", Settings(io="fp61"), "did you mean 'fp16'"),
    ],
)
def test_unknown_names_suggest_the_nearest_and_write_nothing(
    tiny: Artifact,
    samples: Samples,
    tmp_path: Path,
    precision: str,
    settings: Settings,
    message: str,
) -> None:
    with pytest.raises(UsageError, match=message):
        quantize(tiny, precision, tmp_path, samples=samples, settings=settings)
    assert not list(tmp_path.iterdir())


def test_only_fp32_artifacts_are_quantized(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    half = quantize(tiny, "fp16", tmp_path / "half", samples=samples)
    with pytest.raises(UsageError, match="already fp16"):
        quantize(half, "int8", tmp_path / "out", samples=samples)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="is a file"):
        quantize(tiny, "int8", tmp_path / "file" / "out", samples=samples)


ORDERS = (
    Order("fp16"),
    Order("int8", Settings(target="cpu")),
    Order("int8", Settings(target="npu")),  # whose rewrites want a pass of their own first
    Order("int8", Settings(target="openvino")),  # which reads what others leave to be fused
    Order("int8", Settings(target="cpu-avx2", added=("correct-bias",), range="entropy")),
)


@pytest.mark.slow
def test_files_made_together_are_those_made_alone(
    tiny: Artifact, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[Joint] = []
    run_once = calibration._pass

    def counted(joint: Joint, *rest: Any) -> list[ImageRef]:
        passes.append(joint)
        return run_once(joint, *rest)

    monkeypatch.setattr(calibration, "_pass", counted)
    for index, order in enumerate(ORDERS):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{index}"))
        quantize(
            tiny, order.precision, tmp_path / f"alone{index}", samples=samples,
            settings=order.settings,
        )  # fmt: skip
    assert len(passes) == 6
    passes.clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shown: list[tuple[int, int]] = []
    made = {
        ORDERS.index(order): artifact
        for order, artifact in quantize_all(
            tiny, ORDERS, tmp_path, samples=samples,
            progress=lambda *step: shown.append(step),
        )
    }  # fmt: skip
    # fp16, both for CPUs and what npu's rewrites need; then npu's equalized network
    assert len(passes) == 2
    assert shown[-1] == (len(samples), len(samples))
    assert sorted(made) == [0, 1, 2, 3, 4]
    for index, artifact in made.items():
        (alone,) = (tmp_path / f"alone{index}").glob("*.onnx")
        assert artifact.path.read_bytes() == alone.read_bytes()
        assert [image.id for image in artifact.manifest.images] == [s.id for s in samples]


def test_each_file_is_there_as_soon_as_it_is_done(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    going = quantize_all(tiny, ORDERS[:2], tmp_path, samples=samples)
    order, _ = next(going)
    assert order is ORDERS[0]
    assert [path.name for path in tmp_path.glob("*.onnx")] == ["tiny-fp16.onnx"]


def test_one_wrong_order_stops_all_before_the_work(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    orders = [Order("fp16"), Order("int8", Settings(range="minmaxx"))]
    with pytest.raises(UsageError, match="did you mean 'minmax'"):
        list(quantize_all(tiny, orders, tmp_path, samples=samples))
    assert not list(tmp_path.iterdir())


def test_a_network_that_onnxruntime_refuses_is_named(
    tiny: Artifact, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(model: ModelProto) -> list[str]:
        model.graph.node[0].op_type = "Nonsense"
        return ["layer"]

    monkeypatch.setattr("quantize.lossless.lossless.onnx.checker.check_model", lambda model: None)
    monkeypatch.setitem(LOSSLESS, "merge-pixels", spoilt)
    with pytest.raises(QuantizeError) as caught:
        quantize(tiny, "int8", tmp_path, samples=samples, settings=Settings(target="cpu"))
    assert f"int8 of {tiny.path}: onnxruntime cannot load it" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("protocol", "seed"), [("squash", 0), ("center-crop", 77)])
def test_the_manifest_says_how_the_samples_were_drawn_and_prepared(
    tiny: Artifact, voc: Path, tmp_path: Path, protocol: str, seed: int
) -> None:
    drawn = open_dataset(f"{voc}:train", "train", masks=False).sample(2, seed)
    samples = Samples(drawn, Preparation.for_artifact(tiny.manifest, protocol))
    manifest = quantize(tiny, "fp16", tmp_path, samples=samples).manifest
    assert (manifest.calibration_protocol, manifest.settings["seed"]) == (protocol, seed)
    manifest = quantize(tiny, "fp16", tmp_path, samples=samples[:1]).manifest
    assert (manifest.calibration_protocol, manifest.settings["seed"]) == (protocol, seed)
    assert len(manifest.images) == 1


def test_the_manifest_does_not_say_of_plain_samples_what_it_cannot_know(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    manifest = quantize(tiny, "fp16", tmp_path, samples=list(samples)).manifest
    assert (manifest.calibration_protocol, manifest.settings["seed"]) == (None, None)
    for stated in ({"protocol": "center-crop"}, {"seed": 77}):
        with pytest.raises(TypeError, match="unexpected keyword"):
            quantize(tiny, "fp16", tmp_path, samples=samples, **stated)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword"):
        Settings(seed=77)  # type: ignore[call-arg]
