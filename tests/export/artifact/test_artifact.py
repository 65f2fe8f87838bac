import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto

from export.artifact.artifact import Artifact, artifact_name, load_artifact, write_artifact
from export.artifact.manifest import Manifest, OutputSpec, output_spec
from export.common.errors import ArtifactError, DataError, UsageError
from export.common.files import sha256_of
from export.common.names import LONGEST
from tests.export.build import value


@pytest.fixture
def copy(tiny: Artifact, tmp_path: Path) -> Path:
    """A copy of the tiny artifact that a test may damage."""
    for path in (tiny.path, tiny.path.with_suffix(".json")):
        shutil.copy(path, tmp_path)
    return tmp_path / tiny.path.name


def test_round_trip(tiny: Artifact, tmp_path: Path) -> None:
    manifest = tiny.manifest.model_copy(update={"name": "other", "checks": {"a": [1.5, None]}})

    written = write_artifact(b"any bytes", manifest, tmp_path / "new")
    read = load_artifact(written.path)

    assert written.path == tmp_path / "new" / "other-fp32.onnx"
    assert written.path.read_bytes() == b"any bytes"
    assert read.path == written.path
    # JSON knows no tuples, so the free-form parts are compared as JSON
    assert read.manifest.model_dump(mode="json") == written.manifest.model_dump(mode="json")
    assert read.manifest.sha256 == sha256_of(written.path) != tiny.manifest.sha256
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "other-fp32.json",
        "other-fp32.onnx",
    ]


def _refused(path: Path, *parts: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        load_artifact(path)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_missing_file(tmp_path: Path) -> None:
    _refused(tmp_path / "absent.onnx", "absent.onnx: no such file", "segport export")


def test_folder(tmp_path: Path) -> None:
    _refused(tmp_path, "no such file")


def test_missing_manifest(copy: Path) -> None:
    copy.with_suffix(".json").unlink()

    _refused(copy, str(copy), "tiny-fp32.json is missing", "'segport import' makes one")


def test_manifest_instead_of_the_onnx_file(copy: Path) -> None:
    _refused(copy.with_suffix(".json"), "not an .onnx file", "give the .onnx")


def test_changed_bytes(copy: Path) -> None:
    raw = bytearray(copy.read_bytes())
    raw[len(raw) // 2] ^= 1
    copy.write_bytes(raw)

    _refused(copy, str(copy), "sha256 differs")


def test_truncated_file(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:-1])

    _refused(copy, "sha256 differs")


def _without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest.pop(key)


def _with(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest.update({key: value})


def _made(precision: str, facts: object) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest.update({"precision": precision, "checks": {precision: facts}})


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (_without("classes"), "classes: Field required"),
        (_with("format", 2), "format: "),
        (_with("precision", "fp8"), "precision: "),
        (_with("checks", {"int8": 5}), "(checks.int8: "),
        (_with("checks", {"int8": {}}), "(checks.int8.int8_macs_share: Field required"),
        (_with("checks", {"fp16": {"kept_float": 7}}), "(checks.fp16."),
        (_with("precision", "int8"), "precision: int8 is not fp32, and no check says how"),
        (_made("bf16", 5), "(checks.bf16: "),
        (_made("bf16", {"kept_float": 5}), "(checks.bf16.kept_float: "),
        (_with("macs", 10**400), "macs: "),
        (_with("surprise", 1), "surprise: "),
        (_with("macs", "many"), "macs: "),
    ],
)
def test_damaged_manifest(
    copy: Path, damage: Callable[[dict[str, Any]], object], where: str
) -> None:
    path = copy.with_suffix(".json")
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))

    _refused(copy, f"{path}: not a segport manifest", where, "segport import")


@pytest.mark.parametrize("shape", [[1, 3, 1_000_000, 1_000_000], [2_000_000_000, 3, 65, 65]])
def test_an_input_that_no_memory_holds_is_refused_before_it_is_made(
    copy: Path, shape: list[int]
) -> None:
    path = copy.with_suffix(".json")
    content = json.loads(path.read_text())
    content["input"]["shape"] = shape
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        load_artifact(copy)
    assert f"{copy}: an input of {'x'.join(map(str, shape))} numbers needs" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"\xff\xfe", b"null"])
def test_manifest_that_is_no_json_object(copy: Path, content: bytes) -> None:
    copy.with_suffix(".json").write_bytes(content)

    _refused(copy, "not a segport manifest")


def _named(tiny: Artifact, **changes: Any) -> Manifest:
    return tiny.manifest.model_copy(update=changes)


@pytest.mark.parametrize(
    ("precision", "target", "identity", "stem"),
    [
        ("fp32", None, "fp32", "tiny-fp32"),
        ("fp16", None, "fp16", "tiny-fp16"),
        ("int8", "cpu", "int8", "tiny-int8"),
        ("int8", "npu", "int8@npu", "tiny-int8-npu"),
    ],
)
def test_ids_and_file_names(
    tiny: Artifact, precision: str, target: str | None, identity: str, stem: str
) -> None:
    manifest = _named(tiny, precision=precision, target=target)
    mask = manifest.outputs[0].model_copy(update={"name": "mask", "kind": "mask"})

    assert manifest.id == identity
    assert manifest.stem == stem
    assert manifest.model_copy(update={"outputs": (mask,)}).stem == f"{stem}-mask"
    # a file that has logits as well is no mask file
    assert manifest.model_copy(update={"outputs": (*manifest.outputs, mask)}).stem == stem


def test_size_is_the_files_or_the_counted_one(tiny: Artifact) -> None:
    free = tiny.manifest.input.model_copy(update={"shape": (1, 3, None, None)})

    assert tiny.manifest.size == (65, 65)
    assert _named(tiny, input=free, macs_shape=(3, 97, 129)).size == (97, 129)


def test_outputs_by_kind(tiny: Artifact) -> None:
    logits = tiny.manifest.output("logits")

    assert logits is not None
    assert logits.shape == (1, 21, 65, 65)
    assert tiny.manifest.output("mask") is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("deeplabv3_mobilenet", "deeplabv3_mobilenet"),
        ("torchvision/fcn_resnet50", "torchvision-fcn_resnet50"),
        ("package.module:callable", "package-module-callable"),
        ("v1.2", "v1-2"),
    ],
)
def test_artifact_name(text: str, name: str) -> None:
    assert artifact_name(text) == name


@pytest.mark.parametrize("text", ["", "../up", "two words", "-o", "a\\b", "naïve", "a\n"])
def test_names_that_are_no_file_names(text: str) -> None:
    with pytest.raises(UsageError, match="use letters, digits"):
        artifact_name(text)


def test_a_name_may_be_as_long_as_a_file_name_part() -> None:
    longest = "x" * LONGEST
    assert artifact_name(longest) == longest
    found = f"^name '{'x' * 20}...': has {LONGEST + 1} characters, at most {LONGEST} are allowed$"
    with pytest.raises(UsageError, match=found):
        artifact_name(longest + "x")


def test_outputs_are_described_as_the_graph_has_them() -> None:
    logits = value("logits", (None, 21, 65, "width"))
    assert output_spec(logits) == OutputSpec(
        name="logits", kind="logits", shape=(None, 21, 65, None), dtype="float32"
    )
    mask = value("mask", (2, 65, 33), TensorProto.UINT8)
    assert output_spec(mask) == OutputSpec(
        name="mask", kind="mask", shape=(2, 65, 33), dtype="uint8"
    )


def test_a_manifest_that_cannot_be_read_says_why(copy: Path) -> None:
    manifest = copy.with_suffix(".json")
    manifest.unlink()
    manifest.symlink_to("/proc/self/mem")  # a file whose first bytes nobody may read
    advice = "'segport import' makes a new one for a third-party file"
    _refused(copy, "not a segport manifest ([Errno 5] Input/output error); " + advice)
    manifest.unlink()
    manifest.write_text("[]")
    _refused(copy, "not a segport manifest (Input should be an object); " + advice)


def test_a_changed_file_is_named_with_what_to_do(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes() + b"x")
    with pytest.raises(ArtifactError) as caught:
        load_artifact(copy)
    assert str(caught.value) == (
        f"{copy}: its sha256 differs from the manifest's, so the file was changed after it was "
        "written; make it again with segport export, quantize or import"
    )


HOSTILE_NAMES = ["../../x", "/abs/x", "", ".", "..", "a/b", "a\nb", "a\0b", "\x1b[31m", "x" * 300]


@pytest.mark.parametrize("key", ["name", "target"])
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_that_is_no_files_is_refused_on_load_and_on_use(
    copy: Path, tiny: Artifact, tmp_path: Path, key: str, name: str
) -> None:
    out = tmp_path / "deep" / "er" / "out"
    with pytest.raises(ArtifactError, match="cannot be that of a file"):
        write_artifact(b"x", _named(tiny, precision="int8", **{key: name or "a/"}), out)
    assert not (tmp_path / "deep").exists()

    path = copy.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: name}))
    _refused(copy, f"{key}: ", "cannot be part of a file's name")


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda m: m["input"].update(std=[0, 1, 1]), "input.std.0"),
        (lambda m: m["input"].update(std=[1, float("inf"), 1]), "input.std.1"),
        (lambda m: m["input"].update(mean=[float("nan"), 0, 0]), "input.mean.0"),
        (lambda m: m["input"].update(shape=[0, 3, 65, 65]), "input.shape.0"),
        (lambda m: m.update(classes=["a", "b"]), "2 classes, 21 colours and 21 channels"),
        (lambda m: m["classes"].__setitem__(3, "a\x07"), "holds control characters"),
        (lambda m: m["classes"].__setitem__(3, "a\ufffe"), "holds control characters"),
    ],
)
def test_a_manifest_that_contradicts_itself(
    copy: Path, damage: Callable[[dict[str, Any]], object], where: str
) -> None:
    path = copy.with_suffix(".json")
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))

    _refused(copy, where)
