"""`segport convert`: what it writes, says and refuses."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import segport as api
from export.artifact.artifact import Artifact, load_artifact
from export.artifact.class_map import class_map
from export.ort.sessions import open_session, run
from quantize.lint.lint import lint
from segport.conversion import conversion
from tests.segport.command import segport


@pytest.fixture(scope="module")
def int8(tiny: Artifact, voc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8")
    answer = segport(
        "quantize", tiny.path, "--precision", "int8", "--target", "litert", "--calibration", voc,
        "--samples", 3, "--min-self-agreement", 50, "-o", folder,
    )  # fmt: skip
    assert (answer.code, answer.errors) == (0, [])
    return folder / "tiny-int8-litert.onnx"


def test_fp32_gives_the_same_masks(tiny: Artifact, voc: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.tflite"
    answer = segport("convert", tiny.path, "--to", "litert", "--images", voc, "-o", file)
    assert (answer.code, answer.errors) == (0, [])
    assert "agrees with onnxruntime on 100.00 % of pixels" in answer.out
    facts = json.loads((tmp_path / "tiny.tflite.json").read_text())
    assert facts["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert facts["bytes"] == file.stat().st_size
    assert facts["source"]["sha256"] == tiny.manifest.sha256
    assert facts["input"]["shape"] == [1, 65, 65, 3]
    assert facts["outputs"][0]["shape"] == [1, 65, 65, 21]
    assert "ai-edge-litert" in facts["versions"]


def test_another_interpreter_run_gives_what_is_said(
    tiny: Artifact, voc: Path, tmp_path: Path
) -> None:
    """The file, read from the disk by LiteRT alone, against onnxruntime on noise."""
    from ai_edge_litert.interpreter import Interpreter

    made = api.convert(tiny, "litert", tmp_path / "t.tflite", images=voc, progress=False)
    image = np.random.default_rng(0).normal(size=(1, 3, 65, 65)).astype(np.float32)
    runner = Interpreter(str(made.file)).get_signature_runner()
    logits = runner(input=np.ascontiguousarray(image.transpose(0, 2, 3, 1)))["logits"]
    (expected,) = run(open_session(tiny.path), image)
    assert (class_map(expected)[0] == logits[0].argmax(-1)).mean() > 0.999


def test_int8_keeps_its_integers_and_grids(int8: Path, voc: Path, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
    from onnx import load, numpy_helper

    made = api.convert(
        int8, "litert", tmp_path / "t.tflite", images=voc, min_agreement=97, progress=False
    )
    assert made.agreement >= 97
    kinds = {kind.split()[0] for kind in made.facts["operators"] if kind.endswith("int8")}
    assert kinds >= {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "CONCATENATION", "MEAN"}
    constants = {t.name: numpy_helper.to_array(t) for t in load(int8).graph.initializer}
    reader = Interpreter(
        str(made.file),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,  # others pack weights anew
        experimental_preserve_all_tensors=True,
    )
    reader.allocate_tensors()
    details = {one["name"]: one for one in reader.get_tensor_details()}
    scale, zero = constants["input_scale"], constants["input_zero_point"]
    found = details["input_QuantizeLinear_Output"]["quantization"]
    assert (np.float32(found[0]), found[1]) == (scale.reshape(()), zero.reshape(()))
    weights = {t.tobytes() for t in constants.values() if t.dtype == np.int8 and t.ndim == 4}
    held = {
        reader.get_tensor(one["index"]).transpose(0, 3, 1, 2).tobytes()
        for one in reader.get_tensor_details()
        if one["dtype"] == np.int8 and "constant" in one["name"] and len(one["shape"]) == 4
    }
    assert len(weights & held) >= 3  # those of one group, of which only axes are moved


def test_the_targets_files_keep_its_rules(int8: Path) -> None:
    assert lint(load_artifact(int8)) == []


def test_masks_that_differ_are_refused_and_forced(
    tiny: Artifact, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upside_down(output: np.ndarray) -> np.ndarray:
        return np.rint(np.abs(output)).astype(np.int64) * next(turns)

    turns = iter(range(10**6))
    monkeypatch.setattr(conversion, "classes_of", upside_down)
    file = tmp_path / "out/tiny.tflite"
    command = ("convert", tiny.path, "--to", "litert", "--images", voc, "-o", file)
    answer = segport(*command)
    assert answer.code == 2 and not file.parent.exists()
    assert "less than 99 %; nothing was written" in answer.errors[0]
    assert segport(*command, "--force").code == 0 and file.exists()


def test_what_cannot_be_asked_for(tiny: Artifact, voc: Path, tmp_path: Path) -> None:
    asked = ("convert", tiny.path, "--images", voc)
    answer = segport(*asked, "--to", "litrt", "-o", tmp_path / "a.tflite")
    assert answer.code == 2 and "did you mean 'litert'" in answer.errors[0]
    answer = segport(*asked, "--to", "litert", "-o", tmp_path / "a.onnx")
    assert answer.code == 2 and "end in .tflite" in answer.errors[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("least", "file", "said"),
    [
        (200, "x.tflite", "--min-agreement 200: give a number from 0 to 100"),
        ("nan", "x.tflite", "--min-agreement nan: give a number from 0 to 100"),
        (99, "folder.tflite", "folder.tflite: is a folder; name a file"),
        (99, "file/x.tflite", "file is a file; choose another folder with -o"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    least: object, file: str, said: str, tiny: Artifact, voc: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "folder.tflite").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(conversion, "simplify_pooling", None)  # the first work there is
    answer = segport("convert", tiny.path, "--to", "litert", "--images", voc,
                     "--min-agreement", least, "-o", tmp_path / file)  # fmt: skip
    assert answer.code == 2 and len(answer.errors) == 1
    assert answer.errors[0].endswith(said)
    assert sorted(tmp_path.rglob("*")) == before
