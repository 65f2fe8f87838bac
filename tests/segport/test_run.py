import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from export.artifact.artifact import Artifact, load_artifact
from tests.segport.command import Answer, segport
from validate.result.result import load_result

WriteRecipe = Callable[..., Path]
Done = tuple[Answer, Path]


def test_a_recipe_gives_artifacts_reports_and_exit_code_0(done: Done) -> None:
    answer, out = done
    assert (answer.code, answer.errors) == (0, [])
    assert sorted(path.name for path in out.iterdir()) == [
        ".segport-stages.json",
        "center-crop",
        "squash",
        "tiny-fp16.json",
        "tiny-fp16.onnx",
        "tiny-fp32.json",
        "tiny-fp32.onnx",
        "tiny-int8.json",
        "tiny-int8.onnx",
    ]
    for protocol in ("squash", "center-crop"):
        names = {path.name for path in (out / protocol).iterdir()}
        assert names == {"result.json", "confusion.npz", "report.md", "report.html"}
        result = load_result(out / protocol / "result.json")
        assert (result.protocol, result.reference) == (protocol, "torch-fp32")
        assert [a.id for a in result.artifacts] == ["torch-fp32", "fp32", "fp16", "int8"]
        assert (result.command or "").startswith("segport run ")


def test_artifacts_record_what_the_recipe_said(done: Done) -> None:
    int8 = load_artifact(done[1] / "tiny-int8.onnx").manifest
    assert (int8.name, int8.settings["range"], int8.settings["seed"]) == ("tiny", "minmax", 1)
    assert int8.calibration_protocol == "squash"
    # 3 of the 4 training images, by seed
    assert len(int8.images) == 3 and all(i.id.startswith("train_") for i in int8.images)
    assert load_artifact(done[1] / "tiny-fp16.onnx").manifest.checks["fp16"]["range_checked"]


def test_tables_report_paths_and_verdicts_are_printed(done: Done) -> None:
    answer, out = done
    for protocol in ("squash", "center-crop"):
        assert f"tiny: {protocol}, 4 images of VOC2012:val, reference torch-fp32" in answer.out
        assert str(out / protocol / "report.html") in answer.out
        for id in ("fp32", "fp16", "int8"):
            assert f"PASS  {protocol} {id}: drop " in answer.out
            assert f"- **PASS** `{id}`" in (out / protocol / "report.md").read_text()


def test_stages_are_named_on_standard_error(done: Done) -> None:
    lines = [line.split(" ", 1)[1] for line in done[0].err.splitlines()]
    stages = [re.sub(r"( \.| \d+/\d+)+$", "", line) for line in lines]
    for stage in ("export", "quantize fp16", "quantize int8", "validate", "latency"):
        assert stage in stages


@pytest.mark.slow
def test_a_drop_beyond_its_budget_gives_exit_code_1_and_still_the_report(
    write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe(
        ("int8 = 100", "int8 = -100"),
        ('["squash", "center-crop"]', '["squash"]'),
        ('[[artifact]]\nprecision = "fp16"\n', ""),
        ("fp16 = 100\n", ""),
    )
    answer = segport("run", recipe, "-o", tmp_path / "out")
    assert (answer.code, answer.errors) == (1, [])
    assert "FAIL  squash int8: drop " in answer.out and "PASS  squash fp32" in answer.out
    html = (tmp_path / "out/squash/report.html").read_text()
    # the page says what the gate said
    assert re.findall('<span class="badge">([^<]*)</span> <strong>([^<]*)</strong>', html) == [
        ("pass", "fp32"),
        ("fail", "int8"),
    ]


@pytest.mark.slow
def test_a_recipe_can_ask_for_pictures(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    recipe = write_recipe(
        ('protocols = ["squash", "center-crop"]', 'protocols = ["squash"]\npictures = 2'),
        ('[[artifact]]\nprecision = "fp16"\n', ""),
    )
    out = tmp_path / "out"
    segport("run", recipe, "-o", out)
    html = (out / "squash/report.html").read_text()
    worst = load_result(out / "squash/result.json").artifacts[-1].worst_images
    assert re.findall('<section class="card">\n<h3>([^<]*)</h3>', html) == [
        image.id for image in worst[:2]
    ]
    assert (out / "squash/pictures.zip").is_file()


@pytest.mark.slow
def test_json_prints_one_document_and_a_budget_without_artifact_gives_exit_code_2(
    write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe(
        ('["squash", "center-crop"]', '["squash"]'),
        ('[[artifact]]\nprecision = "fp16"\n', ""),
    )
    out = tmp_path / "out"
    answer = segport("run", recipe, "-o", out, "--json")
    assert (answer.code, answer.errors) == (2, [])
    document = answer.json
    assert document["exit_code"] == 2
    assert document["artifacts"] == [str(out / f"tiny-{p}.onnx") for p in ("fp32", "int8")]
    (result,) = document["results"]
    assert result == json.loads((out / "squash/result.json").read_text())
    outcomes = {v["id"]: (v["protocol"], v["outcome"]) for v in document["verdicts"]}
    assert outcomes == {
        "fp32": ("squash", "pass"),
        "fp16": ("squash", "cannot tell"),
        "int8": ("squash", "pass"),
    }


def test_an_imported_network_is_compared_with_its_fp32_file_and_without_gate_all_is_0(
    write_recipe: WriteRecipe, tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(tiny.path, tmp_path / "net.onnx")
    recipe = write_recipe(
        ('name = "tests.networks:tiny"\nweights = "default"', 'onnx = "net.onnx"'),
        ("[data]", "mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n[data]"),
        ('["squash", "center-crop"]\nreference = "torch"', '["full"]'),
        ("[gate.max_drop]\nfp32 = 100\nfp16 = 100\nint8 = 100\n", ""),
        ('[[artifact]]\nprecision = "fp16"\n', ""),
    )
    monkeypatch.chdir(tmp_path)
    answer = segport("run", recipe)
    assert (answer.code, answer.errors) == (0, [])
    result = load_result(tmp_path / "runs/tiny/full/result.json")  # the default folder
    assert result.reference == "fp32"
    assert [a.id for a in result.artifacts] == ["fp32", "int8"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('precision = "int8"', 'precision = "int88"', "did you mean 'int8'"),
        ('target = "cpu"', 'target = "cpuu"', "did you mean 'cpu'"),
        ('range = "minmax"', 'range = "minmix"', "did you mean 'minmax'"),
        ('range = "minmax"', 'range = "percentile:12"', "percentile:12"),
        ('precision = "fp16"', 'precision = "fp16"\nio = "fp61"', "did you mean 'fp16'"),
        ('"center-crop"', '"centercrop"', "did you mean 'center-crop'"),
        ("[data]", '[data]\ncalibration_protocol = "squish"', "did you mean 'squash'"),
        ("samples = 3", "samples = 0", "at least 1 is needed"),
        ("samples = 3", "samples = 3\nlimit = 0", "limit 0"),
        (':val"', ':vall"', "no split 'vall'"),
        (':train"', ':val"', "--allow-overlap"),
        ("tests.networks:tiny", "tests.networks:tinny", "tinny"),
        ("tests.networks:tiny", "deeplabv3_mobilnet", "did you mean 'deeplabv3_mobilenet'"),
        ("[65, 65]", "[32, 65]", "at least 33"),
        ('weights = "default"', 'weights = "gone.pth"', "no such file"),
        ("int8 = 100", "int8 = nan", "max_drop"),
        ("[validate]", "[validate]\npictures = -1", "pictures"),
        ('name = "tiny"\n', 'name = "ti ny"\n', "ti ny"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_found_before_the_work(
    write_recipe: WriteRecipe, tmp_path: Path, old: str, new: str, message: str
) -> None:
    out = tmp_path / "out"
    answer = segport("run", write_recipe((old, new)), "-o", out)
    assert answer.code == 2 and answer.out == ""
    (line,) = answer.errors
    assert line.startswith("segport: ") and message in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("[gate]", "gate"),
        ('[gate]\nbaseline = "damaged.json"', "damaged"),
        ("[gate]\ntolerance = -1\nmax_drop = {int8 = 1}", "tolerance"),
    ],
)
def test_a_gate_that_cannot_judge_is_found_before_the_work(
    write_recipe: WriteRecipe, tmp_path: Path, gate: str, message: str
) -> None:
    (tmp_path / "damaged.json").write_text("{")
    budgets = "[gate.max_drop]\nfp32 = 100\nfp16 = 100\nint8 = 100"
    answer = segport("run", write_recipe((budgets, gate)), "-o", tmp_path / "out")
    assert answer.code == 2 and message in answer.errors[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_baseline_that_is_not_there_yet_can_be_made_of_the_result(
    write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    budgets = "[gate.max_drop]\nfp32 = 100\nfp16 = 100\nint8 = 100"
    out, baseline = tmp_path / "out", tmp_path / "baseline.json"
    recipe = write_recipe(
        (budgets, '[gate]\nbaseline = "baseline.json"'),
        ('["squash", "center-crop"]', '["squash"]'),
        ('[[artifact]]\nprecision = "fp16"\n', ""),
    )
    first = segport("run", recipe, "-o", out)
    assert first.code == 2 and "--update-baseline" in first.out + first.err
    update = ["--baseline", baseline, "--update-baseline", "--reason", "the first"]
    assert segport("gate", out / "squash/result.json", *update).code == 0
    assert segport("run", recipe, "-o", out).code == 0


@pytest.mark.parametrize(
    ("runtime", "said"),
    [("ort-cup", "did you mean 'ort-cpu'"), ("ort-fp16", "emulates float16 files")],
)
def test_a_runtime_that_cannot_work_shows_before_quantization(
    write_recipe: Callable[..., Path], tmp_path: Path, runtime: str, said: str
) -> None:
    recipe = write_recipe(("[validate]", f'[validate]\nruntime = "{runtime}"'))
    answer = segport("run", recipe, "-o", tmp_path / "out")
    assert answer.code == 2 and said in answer.errors[0]
    assert not list(tmp_path.glob("out/*int8*"))
