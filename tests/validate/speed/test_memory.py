import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from export.artifact.artifact import Artifact, write_artifact
from export.common.errors import RuntimeUnavailableError
from tests.export.build import constant
from validate.speed.memory import measure_footprint
from validate.speed.memory_probe import LOADS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
MEGABYTES = 50


@pytest.fixture
def heavy(tiny: Artifact, tmp_path: Path) -> Callable[[int], Artifact]:
    """`tiny` with a constant of so many megabytes that its logits depend on, one element a row."""

    def make(megabytes: int) -> Artifact:
        graph = onnx.load(tiny.path)
        logits = graph.graph.output[0].name
        (last,) = [node for node in graph.graph.node if logits in node.output]
        last.output[0] = "before"
        values = np.random.default_rng(0).normal(size=(megabytes * 250_000, 1)).astype(np.float32)
        graph.graph.initializer.append(constant("table", values))
        # the row is looked up by a value known only at run time, so nothing can be folded away
        graph.graph.node.extend(
            [
                helper.make_node("ArgMax", ["before"], ["best"], axis=1, keepdims=1),
                helper.make_node("ReduceMax", ["best"], ["row"], keepdims=0),
                helper.make_node("Gather", ["table", "row"], ["picked"]),
                helper.make_node("Add", ["before", "picked"], [logits]),
            ]
        )
        return write_artifact(graph.SerializeToString(), tiny.manifest, tmp_path)

    return make


@pytest.mark.slow
def test_a_constant_of_50_mb_is_seen(heavy: Callable[[int], Artifact], tiny: Artifact) -> None:
    small = measure_footprint(tiny.path, "ort-cpu")
    large = measure_footprint(heavy(MEGABYTES).path, "ort-cpu")
    for found in (small, large):
        assert found.loaded_mb is not None and found.peak_mb is not None
        assert found.peak_mb >= found.loaded_mb > 0
        # python with numpy, onnx and onnxruntime, without torch
        assert found.baseline_mb is not None and 40 < found.baseline_mb < 300
        assert 0 < found.load_ms.p10 <= found.load_ms.median <= found.load_ms.p90
    assert MEGABYTES <= large.loaded_mb < 6 * MEGABYTES
    assert small.loaded_mb < MEGABYTES
    assert large.peak_mb - small.peak_mb >= MEGABYTES
    assert LOADS >= 3


@pytest.mark.slow
def test_resident_memory_follows_what_is_held() -> None:
    script = """
import numpy as np
from validate.speed.memory_probe import forget_peak, resident
before = resident()
held = np.ones(10_000_000)  # 80 MB
now = resident()
assert 75e6 < now - before < 100e6, (before, now)
del held
assert resident("VmHWM") > now - 1e6  # Linux counts in batches of pages
forget_peak()
assert resident("VmHWM") < now - 60e6
"""
    # of its own: in the process of all tests other memory comes and goes
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_process_that_fails_is_one_line(tiny: Artifact, tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailableError) as caught:
        measure_footprint(tmp_path / "gone.onnx", "ort-cpu")
    assert "gone.onnx" in str(caught.value) and "no such file" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_folder_of_the_same_name_is_not_taken_for_ours(
    tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "validate").mkdir()
    (tmp_path / "validate/__init__.py").write_text("raise SystemExit(3)")
    file = tiny.path.resolve()
    paths = [str(Path(path).resolve()) for path in sys.path]
    monkeypatch.setattr(sys, "path", paths)
    monkeypatch.chdir(tmp_path)
    assert measure_footprint(file, "ort-cpu").load_ms.median > 0


def test_a_process_that_is_killed_says_so(
    tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "suicide.py").write_text("import os; os.kill(os.getpid(), 9)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("validate.speed.memory._PROBE", "suicide")
    with pytest.raises(RuntimeUnavailableError, match="killed by signal 9"):
        measure_footprint(tiny.path, "ort-cpu")
