"""The gate on the demo's result: what broke it once, and what it must let pass.

`../shared/cases/gate/plant.py` plants what earlier versions passed; the same kinds are planted here
so that they are tried where it is not.
"""

import random
import runpy
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.artifact.artifact import load_artifact
from tests.segport.command import Answer, segport
from validate.counting.evaluation import evaluate
from validate.data.datasets import open_dataset
from validate.judging.comparison import write_result
from validate.judging.figures import figures
from validate.judging.noise import SETTINGS, measure_noise
from validate.result.evidence import Evidence
from validate.result.result import Result, load_result
from validate.runtime.ort import on_cpu
from validate.runtime.runtimes import open_runtime
from validate.samples.samples import Preparation

pytestmark = pytest.mark.slow
BASELINE = Path(__file__).resolve().parents[2] / "reports" / "baseline.json"


@pytest.fixture(scope="module")
def squash(demo: tuple[Answer, Path]) -> Path:
    """The folder of the demo's result; read only."""
    return demo[1] / "squash"


@pytest.fixture(scope="module")
def own(squash: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline of this very run: no other machine's rounding is in it."""
    path = tmp_path_factory.mktemp("own") / "baseline.json"
    answer = segport(
        "gate", squash, "--baseline", path, "--update-baseline", "--reason", "this run"
    )
    assert answer.code == 0, answer.err
    return path


def _gate(folder: Path, baseline: Path, *options: Any) -> Answer:
    return segport("gate", folder, "--baseline", baseline, *options)


# ---- the review's plants


@pytest.fixture(scope="module")
def plants(shared: Path, squash: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plants")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["plant.py", str(squash), str(out)])
        runpy.run_path(str(shared / "cases/gate/plant.py"))
    return out


@pytest.mark.shared
@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize(
    ("case", "code", "says"),
    [
        ("images-0", 0, "PASS  int8:"),
        ("images-4", 1, "FAIL  int8: mIoU"),
        ("images-12", 1, "FAIL  int8: mIoU"),
        ("images-20", 1, "FAIL  int8: mIoU"),
        ("images-40", 1, "FAIL  int8: mIoU"),
        ("class-8", 1, "cat -9"),
        ("class-15", 1, "person -4"),
    ],
)
def test_planted_results_get_what_is_expected(
    plants: Path, own: Path, case: str, code: int, says: str, committed: bool
) -> None:
    answer = _gate(plants / case, BASELINE if committed else own)
    assert answer.code == code, answer.out + answer.err
    assert says in answer.out


@pytest.mark.shared
def test_the_ratchet_stops_before_four_tenths_are_gone(
    plants: Path, own: Path, tmp_path: Path
) -> None:
    """Each step is rewritten as an honest result, so that nothing but its size can stop it."""
    baseline = tmp_path / "baseline.json"
    shutil.copy(own, baseline)
    shutil.copytree(own.with_name("baseline-counts"), tmp_path / "baseline-counts")
    first = _int8(load_result(plants / "images-0/result.json"))
    for step in range(1, 11):
        folder = tmp_path / f"step-{step}"
        _rewritten(plants / f"ratchet-{step:02d}", folder)
        answer = _gate(folder, baseline)
        lost = first - _int8(load_result(folder / "result.json"))
        if answer.code:
            break
        assert lost < 0.4
        accepted = _gate(folder, baseline, "--update-baseline", "--reason", f"step {step}")
        assert accepted.code == 0, accepted.err
    assert answer.code == 1 and lost < 0.5
    assert "since the anchor" in answer.out


def _int8(result: Result) -> float:
    artifact = result.artifact("int8")
    assert artifact is not None and artifact.miou is not None
    return artifact.miou


def _rewritten(source: Path, folder: Path) -> None:
    """Write the result that these counts would have given."""
    result = load_result(source / "result.json")
    with np.load(source / "confusion.npz") as file:
        arrays = dict(file)
    evidence = {
        a.id: Evidence(
            arrays[a.id],
            *(arrays[f"{kind}/{a.id}"] for kind in ("against", "near", "nonfinite")),
        )
        for a in result.artifacts
    }
    images = arrays["images"].tolist()
    found = figures(evidence, result.reference, result.class_names, images)
    artifacts = [a.model_copy(update=dict(found[a.id])) for a in result.artifacts]
    write_result(result.model_copy(update={"artifacts": artifacts}), evidence, images, folder)


# ---- what must pass, and what must be found


def _again(folder: Path) -> Iterator[tuple[str, dict[str, Evidence], list[str]]]:
    """What the demo's int8 file counts under other settings, on shuffled lists of images."""
    fp32, int8 = (load_artifact(folder / f"demo-{name}.onnx") for name in ("fp32", "int8"))
    preparation = Preparation.for_artifact(fp32.manifest, "squash")
    data = open_dataset(str(folder / "scenes"), "val")
    items = list(data.items)
    random.Random(5).shuffle(items)
    shuffled = replace(data, items=tuple(items)).sorted()
    runtimes = {"fp32": open_runtime(fp32), "as it ran": on_cpu(int8, None)}
    for setting in ("1 thread", "2 threads", "no graph optimization"):
        runtimes[setting] = on_cpu(int8, None, SETTINGS[setting]())
    found = evaluate(runtimes, "fp32", shuffled, preparation)
    for setting, one in found.items():
        if setting != "fp32":
            evidence = {"fp32": found["fp32"].evidence(), "int8": one.evidence()}
            yield setting, evidence, [item.id for item in shuffled.items]


def test_honest_runs_of_the_same_file_pass(
    demo: tuple[Answer, Path], squash: Path, tmp_path: Path
) -> None:
    """Other threads, no optimizations, another order of the images, other bootstrap seeds."""
    result, baseline = load_result(squash / "result.json"), tmp_path / "baseline.json"
    changed = 0
    for seed, (setting, evidence, images) in enumerate(_again(demo[1])):
        found = figures(evidence, "fp32", result.class_names, images, resamples=200, seed=seed)
        artifacts = [
            a.model_copy(update=dict(found[a.id])) for a in result.artifacts if a.id in found
        ]
        used = result.bootstrap
        assert used is not None
        honest = result.model_copy(
            update={
                "artifacts": artifacts,
                "reference": "fp32",
                "bootstrap": used.model_copy(update={"resamples": 200, "seed": seed}),
            }
        )
        folder = tmp_path / str(seed)
        write_result(honest, evidence, images, folder)
        if seed == 0:
            accept = ["--baseline", baseline, "--update-baseline", "--reason", "the first"]
            assert segport("gate", folder, *accept).code == 0
            first = found["int8"].miou
            continue
        answer = _gate(folder, baseline)
        assert answer.code == 0, (setting, answer.out)
        changed += found["int8"].miou != first
    assert changed  # what varied really varied: fused kernels round otherwise


def test_noise_is_measured_on_a_real_file(demo: tuple[Answer, Path]) -> None:
    fp32, int8 = (load_artifact(demo[1] / f"demo-{name}.onnx") for name in ("fp32", "int8"))
    data = open_dataset(str(demo[1] / "scenes"), "val").first(8)
    preparation = Preparation.for_artifact(fp32.manifest, "squash")
    reference = ("fp32", open_runtime(fp32))
    classes = fp32.manifest.classes
    noise = measure_noise(int8, "ort-cpu", reference, data, preparation, classes)
    assert noise is not None and "no graph optimization" in noise.settings
    assert 0 < noise.miou < 1 and noise.miou <= noise.class_iou < 5 and 0 <= noise.agreement < 0.2
    assert measure_noise(int8, "openvino", reference, data, preparation, classes) is None
