"""`--target auto`, and the last line of a run with several targets."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import segport as api
from export.artifact.artifact import Artifact, load_artifact
from export.common.errors import QuantizeError
from export.ort.sessions import cpu_facts
from quantize.host import default_target
from quantize.quantization import Order
from segport import fastest
from tests.segport.command import segport
from validate.speed.fastest import Contender


@pytest.fixture
def openvino_wins(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Clocks that say openvino's file is the faster one; the files that were timed."""
    timed: list[str] = []

    def race(artifacts: Sequence[Artifact], runtimes: Sequence[str]) -> list[Contender]:
        timed.extend(artifact.path.name for artifact in artifacts)
        return [
            Contender(artifact.path.name, runtime, 1.0 if runtime == "openvino" else 2.0, 99.0)
            for artifact, runtime in zip(artifacts, runtimes, strict=True)
        ]

    monkeypatch.setattr(fastest, "race", race)
    return timed


def _machines() -> str:
    """What the file for this machine is called."""
    target = default_target(cpu_facts())
    return "tiny-int8.onnx" if target == "cpu" else f"tiny-int8-{target}.onnx"


@pytest.mark.slow
def test_auto_writes_the_fastest_file_alone(
    tiny: Artifact, voc: Path, tmp_path: Path, openvino_wins: list[str]
) -> None:
    pytest.importorskip("openvino")
    images = f"{voc}:train"
    made = api.quantize(tiny, "int8", tmp_path / "auto", images=images, target="auto",
                        progress=False)  # fmt: skip
    one = api.quantize(tiny, "int8", tmp_path / "one", images=images, target="openvino",
                       progress=False)  # fmt: skip
    assert openvino_wins == [_machines(), "tiny-int8-openvino.onnx"]
    assert {path.name for path in (tmp_path / "auto").iterdir()} == {
        "tiny-int8-openvino.onnx", "tiny-int8-openvino.json",
    }  # fmt: skip
    assert made.path.read_bytes() == one.path.read_bytes()
    assert made.manifest == one.manifest


def test_auto_where_only_one_runtime_is_there_writes_its_file(
    tiny: Artifact, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastest, "find_spec", lambda name: None)
    made = api.quantize(tiny, "int8", tmp_path, images=f"{voc}:train", target="auto",
                        progress=False)  # fmt: skip
    assert made.path.name == _machines()


@pytest.mark.parametrize("refused", [["openvino"], ["openvino", "cpu", "cpu-avx2", "arm"]])
def test_auto_races_without_what_is_refused(
    tiny: Artifact, voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: list[str]
) -> None:
    pytest.importorskip("openvino")
    real = fastest.quantize_all

    def picky(artifact: Artifact, orders: Sequence[Order], *rest: Any, **more: Any) -> Any:
        for order, made in real(artifact, orders, *rest, **more):
            if order.settings.target in refused:
                raise QuantizeError(f"{made.path.name}: agrees with fp32 on 9 % of pixels")
            yield order, made

    monkeypatch.setattr(fastest, "quantize_all", picky)
    answer = segport("quantize", tiny.path, "-o", tmp_path, "--calibration", f"{voc}:train",
                     "--precision", "int8", "--target", "auto", "--force")  # fmt: skip
    files = [path.name for path in tmp_path.glob("*.onnx")]
    if len(refused) == 1:
        said = "not in the race: tiny-int8-openvino.onnx: agrees with fp32 on 9 % of pixels"
        assert (answer.code, len(files)) == (0, 1) and said in answer.err
        assert "openvino" not in files[0]
    else:
        assert (answer.code, files) == (2, []) and "agrees with fp32" in answer.errors[-1]


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["--precision", "fp16"], "--target auto chooses among int8 files"),
        (["--precision", "int8", "--max-drop", 1], "compare them with segport bench"),
    ],
)
def test_auto_is_refused_where_nothing_can_be_chosen(
    tiny: Artifact, voc: Path, tmp_path: Path, arguments: list[object], fragment: str
) -> None:
    answer = segport("quantize", tiny.path, "-o", tmp_path, "--calibration", voc, *arguments,
                     "--target", "auto")  # fmt: skip
    assert (answer.code, answer.out, len(answer.errors)) == (2, "", 1)
    assert fragment in answer.errors[0] and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_with_two_targets_ends_in_the_fastest(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    if default_target(cpu_facts()) != "cpu":
        pytest.skip("the recipe's target is not this machine's")
    recipe = write_recipe()
    second = '[[artifact]]\nprecision = "int8"\ntarget = "openvino"\n'
    recipe.write_text(recipe.read_text() + second)
    answer = segport("run", recipe, "-o", tmp_path / "out")
    last = answer.out.splitlines()[-1]
    assert last.startswith("fastest here: tiny-int8") and "times as long" in last
    assert " on openvino (" in last and " on ort-cpu (" in last


@pytest.mark.shared
@pytest.mark.slow
def test_auto_on_a_real_network_writes_the_file_it_names(
    trained: Artifact, shared: Path, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    answer = segport(
        "quantize", trained.path, "--precision", "int8", "--target", "auto", "-o", tmp_path,
        "--calibration", f"{shared}/voc/VOCdevkit:train", "--samples", 8,
    )  # fmt: skip
    assert answer.code == 0
    line = answer.err.partition("fastest here: ")[2].splitlines()[0]
    named = r"(\S+\.onnx) on (\S+) \(([\d.]+) ms"
    first, second = (re.search(named, part) for part in line.split("; "))
    assert first and second
    assert {first[2], second[2]} == {"ort-cpu", "openvino"}
    assert float(first[3]) <= float(second[3])
    assert [path.name for path in tmp_path.glob("*.onnx")] == [first[1]]
    assert load_artifact(tmp_path / first[1]).manifest.checks["self"]["agreement"] > 95
