"""Model card, bill of materials, report, and what servers read: by other people's parsers."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard

import segport
from export.artifact.artifact import load_artifact
from export.artifact.manifest import Manifest
from tests.segport.command import segport as command
from tests.segport.packaging.conftest import Made

IDS = ["fp32", "int8"]


@pytest.fixture(scope="module")
def judged(made: Made, voc: Path, tmp_path_factory: pytest.TempPathFactory) -> segport.Validation:
    """A result of two of the files, with intervals: four labelled images."""
    paths = [made.artifacts[id] for id in IDS]
    return segport.validate(paths, f"{voc}:val", tmp_path_factory.mktemp("judged"))


@pytest.fixture(scope="module")
def package(
    made: Made, judged: segport.Validation, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A package with that result, and everything that a user can state."""
    return segport.package(
        [made.artifacts[id] for id in IDS],
        tmp_path_factory.mktemp("documents") / "package",
        samples=made.pictures,
        result=judged.folder,
        gate=judged.gate(max_drop=100),
        licence="Our licence: 2",
        source="https://example.com/weights",
    )


def _figures(judged: segport.Validation, id: str) -> tuple[float, tuple[float, float]]:
    found = judged.result.artifact(id)
    assert found is not None and found.miou is not None and found.miou_ci95 is not None
    return found.miou, found.miou_ci95


def test_the_hub_reads_the_model_card(package: Path, judged: segport.Validation) -> None:
    card = ModelCard.load(package / "model_card.md")
    assert card.data.library_name == "onnxruntime"
    assert card.data.pipeline_tag == "image-segmentation"
    front = yaml.safe_load((package / "model_card.md").read_text().split("---\n")[1])
    assert front["license_name"] == "Our licence: 2"
    for entry, id in zip(front["model-index"], IDS, strict=True):
        (result,) = entry["results"]
        values = {metric["type"]: metric["value"] for metric in result["metrics"]}
        assert entry["name"] == f"tiny {id}" and result["task"]["type"] == "image-segmentation"
        assert values["mean_iou"] == _figures(judged, id)[0]
    for words in ("Our licence: 2", "example.com/weights", "images calibrated it", "## Limits"):
        assert words in card.text
    assert re.search(r"PASS: .*int8.* max-drop", card.text)


@pytest.mark.parametrize(
    ("stated", "licence", "name"),
    [("Apache-2.0", "apache-2.0", None), ("MIT", "mit", None), ("Our own", "other", "Our own")],
)
def test_licences_that_the_hub_knows_have_its_identifier(
    made: Made, tmp_path: Path, stated: str, licence: str, name: str | None
) -> None:
    out = tmp_path / "package"
    segport.package(made.artifacts["fp32"], out, samples=made.pictures, licence=stated)
    text = (out / "model_card.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["license"], front.get("license_name")) == (licence, name)
    assert f"as given: {stated}" in text and f"made with Pillow {version('pillow')}" in text


def test_the_bill_of_materials_is_cyclonedx(package: Path, judged: segport.Validation) -> None:
    text = (package / "bom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    models = [c for c in json.loads(text)["components"] if c["type"] == "machine-learning-model"]
    assert [model["bom-ref"] for model in models] == IDS
    for model, id in zip(models, IDS, strict=True):
        file = package / next(
            p["value"] for p in model["properties"] if p["name"] == "segport:file"
        )
        assert model["hashes"][0]["content"] == load_artifact(file).manifest.sha256
        miou, (low, high) = _figures(judged, id)
        metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
        (found,) = [metric for metric in metrics if metric["type"] == "mean_iou"]
        assert float(found["value"]) == pytest.approx(miou, abs=1e-4)
        interval = found["confidenceInterval"]
        assert float(interval["lowerBound"]) == pytest.approx(low, abs=1e-4)
        assert float(interval["upperBound"]) == pytest.approx(high, abs=1e-4)


def test_without_a_result_card_and_bill_say_so(made: Made) -> None:
    card = ModelCard.load(made.package / "model_card.md")
    assert "model-index" not in card.content
    assert "Nothing was measured" in card.text and "not stated" in card.text
    text = (made.package / "bom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert not (made.package / "report").exists()


def test_the_report_goes_along_with_the_verdicts(package: Path, judged: segport.Validation) -> None:
    report = (package / "report/report.md").read_text()
    assert "no gate" not in report.lower()
    assert re.search(r"(?i)pass.*int8", report)
    assert segport.load(package / "report/result.json").result == judged.result  # type: ignore[union-attr]
    assert segport.load(package / "report/result.json").gate(max_drop=100).passed  # type: ignore[union-attr]


def test_a_result_beside_the_files_is_found_and_one_of_others_refused(
    made: Made, judged: segport.Validation, tmp_path: Path
) -> None:
    for file in (made.artifacts["int8"], made.artifacts["int8"].with_suffix(".json")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    artifact = tmp_path / made.artifacts["int8"].name
    segport.report(judged, tmp_path / "squash")
    out = segport.package(artifact, tmp_path / "out", samples=made.pictures)
    assert (out / "report/report.html").is_file()
    arguments = ["--samples", made.pictures, "--result", judged.folder, "-o", tmp_path / "other"]
    refused = command("package", made.artifacts["int8@npu"], *arguments)
    assert refused.code == 2 and "judges none of these files" in refused.err
    assert not (tmp_path / "other").exists()


def test_triton_is_told_names_types_and_dimensions(made: Made, tmp_path: Path) -> None:
    out = segport.package(
        [made.artifacts["fp32"], made.artifacts["int8@npu"]],
        tmp_path / "out",
        samples=made.pictures,
        layout="triton",
    )
    for name in ("tiny-fp32", "tiny-int8-npu"):
        manifest = load_artifact(out / f"models/{name}/1/model.onnx").manifest
        config = (out / f"models/{name}/config.pbtxt").read_text()
        assert f'name: "{name}"' in config and 'backend: "onnxruntime"' in config
        assert _tensors(config) == _expected(manifest)
    assert segport.verify(out).verdict == "exact"


def _tensors(config: str) -> dict[str, tuple[str, list[int]]]:
    found = re.findall(r'name: "(\w+)" data_type: (\w+) dims: \[ ([-\d, ]+) \]', config)
    return {name: (kind, [int(side) for side in dims.split(",")]) for name, kind, dims in found}


def _expected(manifest: Manifest) -> dict[str, tuple[str, list[int]]]:
    kinds = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8"}
    return {
        spec.name: (kinds[spec.dtype], [-1 if side is None else side for side in spec.shape])
        for spec in (manifest.input, *manifest.outputs)
    }


def test_the_model_server_is_told_where_models_are(made: Made, tmp_path: Path) -> None:
    out = segport.package(
        made.artifacts["int8"], tmp_path / "out", samples=made.pictures, layout="ovms"
    )
    config = json.loads((out / "models/config.json").read_text())
    (model,) = [entry["config"] for entry in config["model_config_list"]]
    assert model == {"name": "tiny-int8", "base_path": "/models/tiny-int8"}
    assert (out / "models/tiny-int8/1/model.onnx").is_file()


def test_the_model_server_computes_float_layers_as_they_were_judged(
    made: Made, tmp_path: Path
) -> None:
    for_openvino = segport.quantize(
        made.artifacts["fp32"], folder=tmp_path, images=made.pictures, target="openvino",
        progress=False,
    )  # fmt: skip
    out = segport.package(for_openvino, tmp_path / "out", samples=made.pictures, layout="ovms")
    (model,) = json.loads((out / "models/config.json").read_text())["model_config_list"]
    assert model["config"]["plugin_config"] == {"INFERENCE_PRECISION_HINT": "f32"}


def test_an_oci_layout_names_every_file_by_its_digest(made: Made, tmp_path: Path) -> None:
    out = segport.package(
        made.artifacts["int8"], tmp_path / "out", samples=made.pictures, layout="oci"
    )
    (described,) = json.loads((out / "index.json").read_text())["manifests"]

    def blob(entry: dict[str, str]) -> Path:
        return out / "blobs" / entry["digest"].replace(":", "/")

    manifest = json.loads(blob(described).read_text())
    layers = {
        layer["annotations"]["org.opencontainers.image.title"]: layer
        for layer in manifest["layers"]
    }
    assert blob(layers["onnx/model_int8.onnx"]).read_bytes() == made.artifacts["int8"].read_bytes()
    assert all(blob(layer).stat().st_size == layer["size"] for layer in layers.values())
    refused = command(
        "package", made.artifacts["int8"], "--layout", "oci", "-o", tmp_path / "x.zip"
    )
    assert refused.code == 2 and "is a folder itself" in refused.err
