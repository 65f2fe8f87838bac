"""What is used again of an earlier run, and every change that must prevent it."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from export.artifact.artifact import Artifact
from export.common.files import sha256_of
from export.common.progress import Stages
from segport import dependencies
from segport.recipe import Recipe
from segport.stages import RECORD_FILE, Reuse, Stage
from tests.faults import job
from tests.segport.command import Answer, segport
from tests.segport.process import process

STAGES = ["export", "quantize fp16", "quantize int8", "validate squash", "report squash"]
RECIPE = job.RECIPE.replace("[validate]", 'range = "minmax"\n[validate]')


class _Heard(Stages):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, name: str, done: int, total: int) -> None:
        self.lines.append(name)


@pytest.fixture
def heard() -> _Heard:
    return _Heard()


def _done(folder: Path, heard: _Heard, inputs: Mapping[str, object], force: bool = False) -> Stage:
    """Run a stage that writes two files, or find it done."""
    stage = Reuse(folder, heard, force).stage("make", inputs)
    if not stage.done:
        files = [folder / "b.txt", folder / "sub" / "a.txt"]
        files[1].parent.mkdir(exist_ok=True)
        for file in files:
            file.write_text("as made")
        stage.finish(files)
        stage.done = False  # so that a test sees who made the files
    return stage


def test_a_stage_is_done_once(tmp_path: Path, heard: _Heard) -> None:
    assert not _done(tmp_path, heard, {"n": 1}).done
    again = _done(tmp_path, heard, {"n": 1})
    assert again.done
    assert sorted(again.files) == [tmp_path / "b.txt", tmp_path / "sub" / "a.txt"]
    assert heard.lines == ["make: reused, nothing changed"]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"n": 2}, "n changed"),
        ({"n": "1"}, "n changed"),
        ({"n": 1, "m": None}, "m changed"),
        ({}, "n changed"),
    ],
)
def test_any_change_of_inputs_is_seen_and_named(
    tmp_path: Path, heard: _Heard, inputs: dict[str, object], said: str
) -> None:
    _done(tmp_path, heard, {"n": 1})
    assert not _done(tmp_path, heard, inputs).done
    assert heard.lines == [f"make: again ({said})"]


def test_files_that_are_gone_or_modified_are_made_again(tmp_path: Path, heard: _Heard) -> None:
    for damage, said in (
        (lambda file: file.unlink(), "sub/a.txt is gone"),
        (lambda file: file.write_text("As made"), "sub/a.txt was modified"),
    ):
        _done(tmp_path, heard, {})
        heard.lines.clear()
        damage(tmp_path / "sub" / "a.txt")
        assert not _done(tmp_path, heard, {}).done
        assert heard.lines == [f"make: again ({said})"]


def test_force_does_it_again(tmp_path: Path, heard: _Heard) -> None:
    _done(tmp_path, heard, {})
    assert not _done(tmp_path, heard, {}, force=True).done
    assert _done(tmp_path, heard, {}).done


def test_a_stage_that_did_not_finish_is_not_done(tmp_path: Path, heard: _Heard) -> None:
    Reuse(tmp_path, heard).stage("make", {})
    assert not Reuse(tmp_path, heard).stage("make", {}).done


def test_other_stages_stay_in_the_record(tmp_path: Path, heard: _Heard) -> None:
    _done(tmp_path, heard, {"n": 1})
    Reuse(tmp_path, heard).stage("other", {}).finish([])
    assert _done(tmp_path, heard, {"n": 1}).done
    assert Reuse(tmp_path, heard).stage("other", {}).done


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2, "stages": {}}', "\xff"])
def test_a_record_that_says_nothing_is_no_error(tmp_path: Path, heard: _Heard, text: str) -> None:
    _done(tmp_path, heard, {})
    (tmp_path / RECORD_FILE).write_text(text, encoding="latin-1")
    assert not _done(tmp_path, heard, {}).done
    assert _done(tmp_path, heard, {}).done


def _edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads((folder / RECORD_FILE).read_text())
    change(record)
    (folder / RECORD_FILE).write_text(json.dumps(record))


def test_a_forged_record_is_not_believed(tmp_path: Path, heard: _Heard) -> None:
    """Somebody changes a file and writes its digest into the record."""
    _done(tmp_path, heard, {"n": 1})
    (tmp_path / "b.txt").write_text("forged")
    digest = sha256_of(tmp_path / "b.txt")
    _edit(tmp_path, lambda record: record["stages"]["make"]["files"].update({"b.txt": digest}))
    heard.lines.clear()

    assert not _done(tmp_path, heard, {"n": 1}).done

    assert heard.lines == [f"make: again (this user did not sign {RECORD_FILE})"]
    assert (tmp_path / "b.txt").read_text() == "as made"


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["stages"]["make"].update(files={}),
        lambda record: record["stages"]["make"].update(files={"../b.txt": "0" * 64}),
        lambda record: record["stages"].update(other=record["stages"]["make"]),
        lambda record: record.update(signature=None),
        lambda record: record.update(signature="0" * 64),
        lambda record: record.update(signature="\xff"),
    ],
)
def test_no_edit_of_a_record_goes_unseen(
    tmp_path: Path, heard: _Heard, change: Callable[[dict[str, Any]], object]
) -> None:
    _done(tmp_path, heard, {"n": 1})
    _edit(tmp_path, change)
    assert not _done(tmp_path, heard, {"n": 1}).done


def test_another_users_record_is_not_believed(
    tmp_path: Path, heard: _Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    _done(tmp_path / "out", heard, {})
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    assert not _done(tmp_path / "out", heard, {}).done
    assert _done(tmp_path / "out", heard, {}).done
    assert (tmp_path / "another/segport/key").stat().st_mode & 0o777 == 0o600


def test_without_a_place_for_the_key_nothing_is_reused(
    tmp_path: Path, heard: _Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "out").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    _done(tmp_path / "out", heard, {})
    assert not _done(tmp_path / "out", heard, {}).done


def test_a_damaged_key_is_made_anew(
    tmp_path: Path, heard: _Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "out").mkdir()
    _done(tmp_path / "out", heard, {})
    (tmp_path / "state/segport/key").write_bytes(b"")
    assert not _done(tmp_path / "out", heard, {}).done
    assert _done(tmp_path / "out", heard, {}).done


def test_the_record_is_sorted_and_says_nothing_of_time_or_place(
    tmp_path: Path, heard: _Heard
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    for folder in (tmp_path / "one", tmp_path / "two"):
        Reuse(folder, heard).stage("z", {}).finish([])
        _done(folder, heard, {"n": 1, "m": [2]})
    one, two = ((tmp_path / name / RECORD_FILE).read_text() for name in ("one", "two"))
    assert one == two
    assert list(json.loads(one)["stages"]) == ["make", "z"]
    assert [path.name for path in sorted((tmp_path / "one").iterdir())] == [
        RECORD_FILE, "b.txt", "sub",
    ]  # fmt: skip


# the whole way


@pytest.fixture(scope="module")
def first(
    tiny: Artifact, make_voc: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Answer, Path]:
    """A recipe with all its files in one folder, `out` of its first run among them."""
    folder = tmp_path_factory.mktemp("first")
    shutil.copy(tiny.path, folder / "net.onnx")
    make_voc(folder / "voc")
    (folder / "recipe.toml").write_text(RECIPE)
    return segport("run", folder / "recipe.toml", "-o", folder / "out"), folder


@pytest.fixture
def copy(first: tuple[Answer, Path], tmp_path: Path) -> Path:
    """A copy of that folder at another place, for a test to change."""
    shutil.copytree(first[1], tmp_path / "copy")
    return tmp_path / "copy"


def _run(folder: Path, *options: str) -> Answer:
    return segport("run", folder / "recipe.toml", "-o", folder / "out", *options)


def _reused(answer: Answer) -> list[str]:
    lines = [line.split(" ", 1)[1] for line in answer.err.splitlines()]
    ending = ": reused, nothing changed"
    return [line.removesuffix(ending) for line in lines if line.endswith(ending)]


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_second_run_reuses_everything_and_answers_the_same(
    first: tuple[Answer, Path], copy: Path
) -> None:
    answer, folder = first
    assert (answer.code, answer.errors, _reused(answer)) == (0, [], [])
    before = _contents(copy / "out")
    again = _run(copy)
    assert _reused(again) == STAGES
    assert again.code == 0
    assert again.out == answer.out.replace(str(folder), str(copy))
    assert _contents(copy / "out") == before


def _swap_two_images(folder: Path) -> None:
    images = folder / "voc/JPEGImages"
    (images / "val_000.jpg").rename(images / "x.jpg")
    (images / "val_001.jpg").rename(images / "val_000.jpg")
    (images / "x.jpg").rename(images / "val_001.jpg")


def _relabel(folder: Path) -> None:
    file = folder / "voc/SegmentationClass/val_000.png"
    with Image.open(file) as mask:
        changed = Image.fromarray(np.where(np.asarray(mask) == 255, 255, 0).astype(np.uint8))
    changed.save(file)


def _shift_weights(folder: Path) -> None:
    model = onnx.load(folder / "net.onnx")
    weights = model.graph.initializer[0]
    values = onnx.numpy_helper.to_array(weights) * np.float32(1.01)
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, folder / "net.onnx")


def _damage(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with (folder / "out" / name).open("ab") as file:
            file.write(b" ")

    return change


def _say(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / "recipe.toml").read_text()
        assert old in text
        (folder / "recipe.toml").write_text(text.replace(old, new))

    return change


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "reused"),
    [
        (_shift_weights, []),
        (_say("std = [0.229", "std = [0.23"), []),
        # same ids, other pictures
        (_swap_two_images, STAGES[:3]),
        (_relabel, STAGES[:3]),
        (lambda folder: (folder / "voc/JPEGImages/train_000.jpg").unlink(), None),
        (_say("samples = 3", "samples = 2"), STAGES[:1]),
        (_say('range = "minmax"', 'range = "mse"'), STAGES[:2]),
        (_say('protocols = ["squash"]', 'protocols = ["squash"]\npictures = 1'), STAGES[:3]),
        (_say("[validate]", '[[artifact]]\nprecision = "int8"\ntarget = "npu"\n[validate]'),
         STAGES[:3]),
        # the verdict is always judged anew; the report shows it
        (_say("int8 = 100", "int8 = -100"), STAGES[:4]),
        # what is made again is the same, so that what depends on it still holds
        (_damage("net-int8.onnx"), [s for s in STAGES if s != "quantize int8"]),
        (_damage("net-fp16.json"), [s for s in STAGES if s != "quantize fp16"]),
        (lambda folder: (folder / "out/net-fp32.onnx").unlink(), STAGES[1:]),
        (lambda folder: (folder / "out/squash/report.html").unlink(), STAGES[:4]),
    ],
)  # fmt: skip
def test_nothing_stale_is_used(
    copy: Path, change: Callable[[Path], None], reused: list[str] | None
) -> None:
    change(copy)
    answer = _run(copy)
    if reused is None:
        assert answer.code == 2 and "absent" in answer.errors[0]
        return
    assert answer.errors == []
    assert _reused(answer) == reused
    # what was used again and what was not fit together
    assert set(_reused(_run(copy))) >= set(STAGES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("versions", lambda: {"onnxruntime": "0.0"}),
        ("_code", lambda: ["quantize/int8/finishing.py 0000"]),
        ("cpu_facts", lambda: {"cpu": "another", "isa": []}),
    ],
)
def test_another_package_code_or_machine_reuses_nothing(
    copy: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Callable[[], object]
) -> None:
    monkeypatch.setattr(dependencies, name, value)
    assert _reused(_run(copy)) == []


@pytest.mark.slow
def test_force_redoes_all(copy: Path) -> None:
    assert _reused(_run(copy, "--force")) == []


@pytest.mark.slow
def test_a_network_of_the_users_own_is_exported_every_time_and_the_rest_reused(
    done: tuple[Answer, Path], tmp_path: Path
) -> None:
    shutil.copytree(done[1], tmp_path / "out")
    shutil.copy(done[1].parent / "recipe.toml", tmp_path / "recipe.toml")
    answer = segport("run", tmp_path / "recipe.toml", "-o", tmp_path / "out")
    assert answer.code == 0
    assert _reused(answer) == [
        "quantize fp16", "quantize int8", "validate squash", "report squash",
        "validate center-crop", "report center-crop",
    ]  # fmt: skip


def test_the_code_is_that_of_all_four_packages() -> None:
    named = {line.split()[0] for line in dependencies._code()}
    assert {
        "export/networks/zoo.py",
        "quantize/int8/finishing.py",
        "validate/gating/gate.py",
        "segport/cli.py",
    } <= named
    assert not [name for name in named if "__pycache__" in name or name.endswith(".pyc")]


def test_weights_beside_an_onnx_file_count_too(tiny: Artifact, tmp_path: Path) -> None:
    model = onnx.load(tiny.path)
    file = tmp_path / "net.onnx"
    onnx.save(model, file, save_as_external_data=True, location="net.bin", size_threshold=0)
    before = dependencies._onnx_contents(file)
    assert dependencies._onnx_contents(file) == before
    data = bytearray((tmp_path / "net.bin").read_bytes())
    data[5] ^= 1
    (tmp_path / "net.bin").write_bytes(data)
    assert dependencies._onnx_contents(file) != before


def test_weights_and_class_names_count_by_their_contents(tmp_path: Path) -> None:
    def digests(folder: Path) -> dict[str, object]:
        folder.mkdir(exist_ok=True)
        recipe = Recipe.model_validate(
            {
                "name": "net",
                "model": {
                    "name": "deeplabv3_mobilenet",
                    "weights": str(folder / "w.pth"),
                    "classes": str(folder / "names.txt"),
                },
                "data": {"calibration": "c", "validation": "v"},
            }
        )
        return dependencies.of_export(recipe)

    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "w.pth").write_bytes(b"weights")
        (tmp_path / place / "names.txt").write_text("sky\nroad\n")
    one = digests(tmp_path / "one")
    assert digests(tmp_path / "two") == one
    (tmp_path / "two/w.pth").write_bytes(b"Weights")
    assert {k for k, v in digests(tmp_path / "two").items() if v != one[k]} == {"weights"}
    (tmp_path / "one/names.txt").write_text("road\nsky\n")
    assert {k for k, v in digests(tmp_path / "one").items() if v != one[k]} == {"classes"}


@pytest.mark.slow
def test_a_second_run_of_a_zoo_network_does_not_import_torch(
    make_voc: Callable[..., Path], tmp_path: Path
) -> None:
    make_voc(tmp_path / "voc")
    text = RECIPE
    for old, new in (
        ('onnx = "net.onnx"', 'name = "deeplabv3_mobilenet"\nweights = "random"'),
        ("mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]", "size = [65, 65]"),
        ('[[artifact]]\nprecision = "fp16"\n', ""),
        ("samples = 3", "samples = 1"),
        ('range = "minmax"', 'range = "minmax"\nskip = ["gptq"]'),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "recipe.toml").write_text(text)
    assert _run(tmp_path).code == 0
    code = (
        "import sys; from segport.cli import main\n"
        "try: main()\n"
        "except SystemExit as stopped: assert not stopped.code, stopped.code\n"
        "print(sorted({'torch', 'torchvision', 'matplotlib'} & set(sys.modules)))"
    )
    arguments = ["run", tmp_path / "recipe.toml", "-o", tmp_path / "out"]
    answer = process(sys.executable, "-c", code, *arguments)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.count("reused, nothing changed") == 4
    assert answer.stdout.splitlines()[-1] == "[]"
