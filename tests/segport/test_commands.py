import json
import shlex
import shutil
from pathlib import Path

import pytest

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


def test_overlap_is_refused_or_marked(done: Done, voc: Path, tmp_path: Path) -> None:
    arguments = ["validate", done[1] / "tiny-int8.onnx", "--data", f"{voc}:train"]
    refused = segport(*arguments, "-o", tmp_path / "out")
    assert refused.code == 2 and "3 of 4 images" in refused.errors[0]
    assert not (tmp_path / "out").exists()
    allowed = segport(*arguments, "-o", tmp_path / "out", "--allow-overlap")
    assert allowed.code == 0
    assert load_result(tmp_path / "out/result.json").overlap_allowed


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
