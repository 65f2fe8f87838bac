import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.artifact.artifact import Artifact, load_artifact
from export.ort.providers import has_cuda
from tests.segport.command import Answer, segport
from validate.result.result import load_result

Done = tuple[Answer, Path]


def test_export_writes_an_artifact_and_says_what_was_checked(tmp_path: Path) -> None:
    answer = segport(
        "export", "tests.networks:tiny", "--weights", "default", "--size", 65, 97,
        "--output", "both", "--name", "mine", "-o", tmp_path / "out",
    )  # fmt: skip
    assert (answer.code, answer.errors) == (0, [])
    artifact = load_artifact(tmp_path / "out/mine-fp32.onnx")
    assert artifact.manifest.input.shape == (1, 3, 65, 97)
    assert [spec.kind for spec in artifact.manifest.outputs] == ["logits", "mask"]
    assert f"wrote {artifact.path}" in answer.out and "argmax agrees on 100" in answer.out


def test_export_takes_a_free_size_and_batch(tmp_path: Path) -> None:
    answer = segport(
        "export", "tests.networks:tiny", "--weights", "default", "--size", "dynamic",
        "--batch", "dynamic", "-o", tmp_path / "out", "--json",
    )  # fmt: skip
    assert (answer.code, answer.errors) == (0, [])
    document = answer.json
    assert document["manifest"]["input"]["shape"] == [None, 3, None, None]
    file = Path(document["file"])
    assert file == tmp_path / "out/tests-networks-tiny-fp32.onnx"
    assert load_artifact(file).manifest.model_dump(mode="json") == document["manifest"]


@pytest.mark.parametrize(
    "size", [["65", "x"], ["x", "65"], ["65", "65.5"], ["dynamic", "65"], ["65", "dynamic"]]
)
def test_other_sizes_are_refused(tmp_path: Path, size: list[str]) -> None:
    answer = segport(
        "export", "tests.networks:tiny", "--weights", "default", "-o", tmp_path / "out",
        "--size", *size,
    )  # fmt: skip
    assert answer.code == 2 and not (tmp_path / "out").exists()


def test_import_gives_a_third_party_file_a_manifest(tiny: Artifact, tmp_path: Path) -> None:
    shutil.copy(tiny.path, tmp_path / "theirs.onnx")
    answer = segport(
        "import", tmp_path / "theirs.onnx", "--mean", 0.5, 0.5, 0.5, "--std", 0.2, 0.3, 0.4,
        "-o", tmp_path / "out", "--json",
    )  # fmt: skip
    assert (answer.code, answer.errors) == (0, [])
    manifest = load_artifact(Path(answer.json["file"])).manifest
    assert (manifest.input.mean, manifest.input.std) == ((0.5, 0.5, 0.5), (0.2, 0.3, 0.4))
    assert (manifest.name, manifest.weights.how) == ("theirs", "import")


def test_quantize_calibrates_on_a_seeded_choice_of_the_training_split(
    tiny: Artifact, voc: Path, tmp_path: Path
) -> None:
    chosen = []
    for seed in (0, 0, 3):
        answer = segport(
            "quantize", tiny.path, "--precision", "int8", "--calibration", voc, "--samples", 2,
            "--seed", seed, "--range", "percentile:99.9", "--protocol", "center-crop",
            "--min-self-agreement", 50, "-o", tmp_path / "out", "--json",
        )  # fmt: skip
        assert (answer.code, answer.errors) == (0, [])
        manifest = answer.json["manifest"]
        chosen.append([image["id"] for image in manifest["images"]])
        assert manifest["calibration_protocol"] == "center-crop"
        assert manifest["settings"]["range"] == "percentile:99.9"
    assert chosen[0] == chosen[1] != chosen[2]
    assert all(len(ids) == 2 and ids[0].startswith("train_") for ids in chosen)


def test_fp16_without_images_warns_that_the_range_was_not_checked(
    tiny: Artifact, tmp_path: Path
) -> None:
    answer = segport("quantize", tiny.path, "--precision", "fp16", "-o", tmp_path)
    assert (answer.code, answer.errors) == (0, [])
    assert "warning" in answer.out and "not checked" in answer.out


def test_validate_prints_the_table_and_records_its_command(
    done: Done, voc: Path, tmp_path: Path
) -> None:
    files = [done[1] / f"tiny-{precision}.onnx" for precision in ("fp32", "int8")]
    arguments = ["validate", *files, "--data", voc, "--limit", 2, "-o", tmp_path / "out dir"]
    answer = segport(*arguments)
    assert (answer.code, answer.errors) == (0, [])
    assert "tiny: squash, 2 images of VOC2012:val, reference fp32" in answer.out
    result = load_result(tmp_path / "out dir/result.json")
    assert shlex.split(result.command or "") == ["segport", *map(str, arguments)]
    again = segport(*arguments, "--json")
    assert again.json == json.loads((tmp_path / "out dir/result.json").read_text())


def test_validate_finds_the_parent_and_takes_torch(done: Done, voc: Path, tmp_path: Path) -> None:
    common = ["--data", voc, "--limit", 1, "-o", tmp_path, "--json"]
    int8 = done[1] / "tiny-int8.onnx"
    beside = segport("validate", int8, *common).json
    assert (beside["reference"], [a["id"] for a in beside["artifacts"]]) == (
        "fp32",
        ["fp32", "int8"],
    )
    torch = segport("validate", int8, "--reference", "torch", *common).json
    assert (torch["reference"], [a["id"] for a in torch["artifacts"]]) == (
        "torch-fp32",
        ["torch-fp32", "int8"],
    )
    shutil.copy(int8, tmp_path / "alone.onnx")
    shutil.copy(int8.with_suffix(".json"), tmp_path / "alone.json")
    alone = segport("validate", tmp_path / "alone.onnx", *common)
    assert alone.code == 2 and "no reference" in alone.errors[0]


def test_overlap_is_refused_or_marked(done: Done, voc: Path, tmp_path: Path) -> None:
    arguments = ["validate", done[1] / "tiny-int8.onnx", "--data", f"{voc}:train"]
    refused = segport(*arguments, "-o", tmp_path / "out")
    assert refused.code == 2 and "3 of 4 images" in refused.errors[0]
    assert not (tmp_path / "out").exists()
    allowed = segport(*arguments, "-o", tmp_path / "out", "--allow-overlap")
    assert allowed.code == 0
    assert load_result(tmp_path / "out/result.json").overlap_allowed


def test_grey_cmyk_rgba_and_rotated_images_just_work(done: Done, voc: Path, tmp_path: Path) -> None:
    (tmp_path / "data/images").mkdir(parents=True)
    (tmp_path / "data/masks").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 8
    with Image.open(voc / "JPEGImages/val_000.jpg") as file:
        picture = file.convert("RGB")
    for name, mode, ending in (
        ("grey", "L", "jpg"),
        ("cmyk", "CMYK", "jpg"),
        ("rgba", "RGBA", "png"),
        ("palette", "P", "png"),
        ("rotated", "RGB", "jpg"),
    ):
        extra = {"exif": exif} if name == "rotated" else {}
        picture.convert(mode).save(tmp_path / f"data/images/{name}.{ending}", **extra)
        shape = (96, 80) if name == "rotated" else (80, 96)
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / f"data/masks/{name}.png")
    answer = segport(
        "validate", done[1] / "tiny-fp32.onnx", "--data", tmp_path / "data", "-o", tmp_path / "out",
        "--accept", "one-class",
    )  # fmt: skip
    assert (answer.code, answer.errors) == (0, [])
    assert load_result(tmp_path / "out/result.json").dataset.images == 5


def test_report_prints_the_table_and_writes_the_files(done: Done, tmp_path: Path) -> None:
    answer = segport("report", done[1] / "squash/result.json", "-o", tmp_path / "out")
    assert (answer.code, answer.err) == (0, "")
    assert "tiny: squash" in answer.out
    for name in ("report.md", "report.html", "result.json", "confusion.npz"):
        assert f"wrote {tmp_path / 'out' / name}" in answer.out
        assert (tmp_path / "out" / name).is_file()
    listed = segport("report", done[1] / "squash/result.json", "-o", tmp_path / "out", "--json")
    assert set(listed.json["files"]) == {str(path) for path in (tmp_path / "out").iterdir()}


def test_report_writes_what_is_asked_for_and_shows_diagnoses(
    done: Done, voc: Path, tmp_path: Path
) -> None:
    result = done[1] / "squash/result.json"
    assert segport("report", result, "-o", tmp_path / "md", "--format", "md").code == 0
    assert not (tmp_path / "md/report.html").exists()
    wrong = segport("report", result, "-o", tmp_path / "pdf", "--format", "pdf")
    assert wrong.code == 2 and "unknown report format 'pdf'" in wrong.errors[0]
    found = tmp_path / "diagnosis"
    files = [done[1] / f"tiny-{precision}.onnx" for precision in ("fp32", "int8")]
    assert segport("diagnose", *files, "--data", voc, "--limit", 1, "-o", found).code == 0
    answer = segport("report", result, "-o", tmp_path / "out", "--diagnosis", found)
    assert (answer.code, answer.errors) == (0, [])
    assert "<h2>Layer errors of tiny-int8.onnx</h2>" in (tmp_path / "out/report.html").read_text()


def test_validate_keeps_pictures_of_the_worst_images(done: Done, voc: Path, tmp_path: Path) -> None:
    files = [done[1] / f"tiny-{precision}.onnx" for precision in ("fp32", "int8")]
    arguments = ["validate", *files, "--data", voc, "--limit", 2, "-o", tmp_path / "out"]
    assert segport(*arguments, "--pictures", 1).code == 0
    assert segport("report", tmp_path / "out/result.json", "-o", tmp_path / "out").code == 0
    assert (tmp_path / "out/report.html").read_text().count('<section class="card">') == 1
    refused = segport(*arguments, "--pictures", -1)
    assert refused.code == 2 and "--pictures" in refused.err


def test_gate_exit_codes(done: Done) -> None:
    result = done[1] / "squash/result.json"
    passed = segport("gate", result, "--max-drop", "int8=100", "--max-drop", "fp16=100")
    assert passed.code == 0
    assert [line.split(":")[0] for line in passed.out.splitlines()] == ["PASS  int8", "PASS  fp16"]
    failed = segport("gate", result, "--max-drop", "int8=-100")
    assert failed.code == 1 and failed.out.startswith("FAIL  int8: ")
    unknown = segport("gate", result, "--max-drop", "int4=1")
    assert unknown.code == 2 and unknown.out.startswith("CANNOT TELL  int4: ")
    nothing = segport("gate", result)
    assert nothing.code == 2 and "no budget" in nothing.errors[0]


@pytest.mark.parametrize("text", ["int8", "int8=", "int8=x", "=1", "int8=nan", "int8=inf", ""])
def test_budgets_that_are_none_are_refused(done: Done, text: str) -> None:
    answer = segport("gate", done[1] / "squash/result.json", "--max-drop", text)
    assert answer.code == 2 and len(answer.errors) == 1
    assert "give" in answer.errors[0] and "POINTS" in answer.errors[0]


def test_gate_with_a_baseline(done: Done, tmp_path: Path) -> None:
    result, baseline = done[1] / "squash/result.json", tmp_path / "baseline.json"
    missing = segport("gate", result, "--baseline", baseline)
    assert missing.code == 2 and "--update-baseline" in missing.errors[0]
    accept = ["--baseline", baseline, "--update-baseline", "--reason", "the first"]
    updated = segport("gate", result, *accept)
    assert updated.code == 0 and "4 entries" in updated.out
    assert segport("gate", result, "--baseline", baseline).code == 0
    # plant a loss of 0.3 points
    document = json.loads(result.read_text())
    document["artifacts"][3]["miou"] -= 0.3
    (tmp_path / "worse.json").write_text(json.dumps(document))
    worse = ["gate", tmp_path / "worse.json", "--baseline", baseline, "--trust"]
    assert segport(*worse).code == 1
    assert segport(*worse, "--tolerance", 0.4).code == 0
    alone = segport("gate", result, "--update-baseline", "--max-drop", "int8=1")
    assert alone.code == 2 and "--baseline" in alone.errors[0]


def test_predict_lists_masks_overlays_and_classes(done: Done, voc: Path, tmp_path: Path) -> None:
    arguments = ["predict", done[1] / "tiny-int8.onnx", voc / "JPEGImages/val_000.jpg"]
    answer = segport(*arguments, "-o", tmp_path)
    assert (answer.code, answer.errors) == (0, [])
    assert answer.out.startswith(f"{tmp_path / 'val_000-mask.png'}  ")
    assert answer.out.splitlines()[-1] == f"colours: {tmp_path / 'legend.png'}"
    document = segport(*arguments, "-o", tmp_path, "--json").json
    (found,) = document["images"]
    assert (found["id"], found["mask"]) == ("val_000", str(tmp_path / "val_000-mask.png"))
    assert sum(found["classes"].values()) == pytest.approx(100, abs=0.02)
    assert Path(found["overlay"]).is_file() and document["failed"] == []
    assert (document["runtime"], document["provider"]) == ("ort-cpu", "CPUExecutionProvider")


def test_predict_writes_what_it_can_read_and_exits_with_2(
    done: Done, voc: Path, tmp_path: Path
) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    shutil.copy(voc / "JPEGImages/val_000.jpg", source / "good.jpg")
    (source / "bad.jpg").write_bytes(b"broken")
    arguments = ["predict", done[1] / "tiny-int8.onnx", source, "-o", tmp_path / "out"]
    answer = segport(*arguments)
    assert answer.code == 2 and len(answer.errors) == 1
    assert "1 of 2 images could not be read, the others are written" in answer.errors[0]
    assert "not read: image bad: cannot read" in answer.out
    document = segport(*arguments, "--json").json
    assert [one["id"] for one in document["images"]] == ["good"]
    assert [one["id"] for one in document["failed"]] == ["bad"]


def test_a_gpu_that_is_not_there_is_an_error_unless_allowed(
    done: Done, voc: Path, tmp_path: Path
) -> None:
    if has_cuda():
        pytest.skip("this machine has CUDA")
    file = done[1] / "tiny-fp32.onnx"
    common = ["--data", voc, "--limit", 1, "--runtime", "ort-cuda", "-o", tmp_path / "out"]
    refused = segport("validate", file, *common)
    assert (refused.code, refused.out, len(refused.errors)) == (2, "", 1)
    assert "ort-cuda: no CUDA device here" in refused.errors[0]
    assert not (tmp_path / "out").exists()
    (entry,) = segport("validate", file, *common, "--allow-fallback", "--json").json["artifacts"]
    assert (entry["runtime"], entry["provider"]) == ("ort-cpu", "CPUExecutionProvider")
    assert "ort-cuda was asked for, ort-cpu ran" in entry["warnings"][0]
    image = voc / "JPEGImages/val_000.jpg"
    predict = ["predict", file, image, "--runtime", "ort-cuda", "-o", tmp_path / "masks"]
    assert segport(*predict).code == 2 and not (tmp_path / "masks").exists()
    assert "warning: ort-cuda was asked for" in segport(*predict, "--allow-fallback").out


def test_models_as_table_and_as_json() -> None:
    rows = segport("models", "--json").json
    assert len(rows) == 12
    table = segport("models").out
    assert all(row["model"] in table for row in rows)
