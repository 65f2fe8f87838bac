"""What lies in a package, and that the same files give the same bytes."""

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

import segport
from export.artifact.artifact import load_artifact
from segport.packaging.layouts import LAYOUTS
from tests.segport.command import segport as command
from tests.segport.packaging import model_package_api
from tests.segport.packaging.conftest import Made

VARIANTS = {
    "fp32": "onnx/model.onnx",
    "fp16": "onnx/model_fp16.onnx",
    "int8": "onnx/model_int8.onnx",
    "int8@npu": "onnx/model_int8-npu.onnx",
}


def test_models_have_the_names_of_the_hub_and_are_there_once(made: Made) -> None:
    for id, path in VARIANTS.items():
        assert (made.package / path).read_bytes() == made.artifacts[id].read_bytes()
        assert load_artifact(made.package / path).manifest.id == id
    digests = [sha256(path.read_bytes()).hexdigest() for path in made.package.rglob("*.onnx")]
    assert len(digests) == len(set(digests)) == len(VARIANTS)


def test_sha256sum_checks_every_file(made: Made) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=made.package, capture_output=True, text=True, check=True,
    )  # fmt: skip
    files = [path for path in made.package.rglob("*") if path.is_file()]
    assert done.stdout.count(": OK\n") == len(files) - 1


@pytest.mark.skipif(model_package_api.library() is None, reason="this onnxruntime has no such API")
@pytest.mark.parametrize("layout", [name for name, one in LAYOUTS.items() if one.form == "folder"])
def test_onnxruntime_opens_it_as_a_model_package(made: Made, layout: str, tmp_path: Path) -> None:
    folder = tmp_path / "package"
    segport.package(list(made.artifacts.values()), folder, samples=made.pictures, layout=layout)
    module = model_package_api.__name__
    done = subprocess.run(
        [sys.executable, "-m", module, folder], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {
        "fp32": "CPUExecutionProvider",
        "fp16": "CUDAExecutionProvider",
        "int8": "CPUExecutionProvider",
        "int8@npu": None,
    }


def test_the_same_files_give_the_same_zip(made: Made, tmp_path: Path) -> None:
    paths = [made.artifacts["fp32"], made.artifacts["int8"]]
    zips = [tmp_path / "a.zip", tmp_path / "later" / "b.zip"]
    for file in zips:
        segport.package(paths, file, samples=made.pictures)
    assert zips[0].read_bytes() == zips[1].read_bytes()
    done = segport.verify(zips[0])
    assert done.verdict == "exact"
    assert {row.variant for row in done.rows} == {"fp32", "int8"}


def test_an_earlier_package_is_replaced_when_asked_and_nothing_else_is(
    made: Made, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(made.package, out)
    arguments = ["package", made.artifacts["fp32"], "--samples", made.pictures, "-o", out]
    refused = command(*arguments)
    assert refused.code == 2 and "--force replaces it" in refused.err
    assert (out / VARIANTS["int8"]).is_file()
    assert command(*arguments, "--force").code == 0
    assert not (out / VARIANTS["int8"]).exists()
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    refused = command(*arguments[:-1], other, "--force")
    assert refused.code == 2 and "something else than a package" in refused.err
    assert (other / "thesis.txt").read_text() == "years of work"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "mine"}


@pytest.mark.slow
def test_files_of_two_networks_or_one_twice_are_refused(made: Made, tmp_path: Path) -> None:
    from export.onnx_export import export_model

    other = export_model("tests.networks:tiny", "default", tmp_path, size=(65, 65), name="other")
    out = tmp_path / "out"
    both = command("package", made.artifacts["fp32"], other.path, "-o", out)
    assert both.code == 2 and "files of one network" in both.err
    twice = command("package", made.artifacts["fp32"], made.artifacts["fp32"], "-o", out)
    assert twice.code == 2 and "are both fp32" in twice.err
    assert not out.exists()


@pytest.mark.slow
def test_without_samples_scenes_of_the_demo_go_along(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command("package", made.artifacts["fp32"], "-o", out).code == 0
    assert sorted(path.name for path in (out / "samples").iterdir()) == [
        "1-fp32.png", "1.png", "2-fp32.png", "2.png", "3-fp32.png", "3.png",
    ]  # fmt: skip
    assert command("verify", out).code == 0
