import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper

from export.common.errors import ArtifactError
from export.ort import sessions
from tests.export.build import image, model, saved, value, weight

IMAGE = image(1, 3, 4, 4)


@pytest.fixture(scope="module")
def graph() -> ModelProto:
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="c")
    twice = helper.make_node("Add", ["y", "y"], ["z"], name="a")
    outputs = [value("y", (1, 2, 4, 4)), value("z", (1, 2, 4, 4))]
    return model([node, twice], [value("x", (1, 3, 4, 4))], outputs, [weight("w", 2, 3, 1, 1)])


def _on(monkeypatch: pytest.MonkeyPatch, machine: str, *isa: str) -> None:
    facts: dict[str, Any] = {"cpu": "a CPU", "machine": machine, "threads": 2, "isa": list(isa)}
    monkeypatch.setattr(sessions, "cpu_facts", lambda: facts)


@pytest.mark.parametrize(
    ("machine", "isa", "lacks"),
    [
        ("x86_64", ["avx2"], True),
        ("AMD64", ["avx2", "avx512f"], True),
        ("x86_64", ["avx2", "avx512f", "avx512_vnni"], False),
        ("x86_64", ["avx2", "avx_vnni"], False),
        ("aarch64", ["asimd"], False),
        ("arm64", [], False),
    ],
)
def test_precise_products_where_the_cpu_lacks_vnni(
    machine: str, isa: list[str], lacks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _on(monkeypatch, machine, *isa)
    options = sessions.session_options()

    assert sessions.lacks_vnni() == lacks
    if lacks:
        assert options.get_session_config_entry("session.x64quantprecision") == "1"
    else:
        with pytest.raises(RuntimeError):  # not set
            options.get_session_config_entry("session.x64quantprecision")


def test_cpu_facts_are_this_machines() -> None:
    facts = sessions.cpu_facts()

    assert facts["machine"] == os.uname().machine
    assert facts["threads"] == len(os.sched_getaffinity(0)) >= 1
    assert facts["cpu"]
    flags = Path("/proc/cpuinfo").read_text().split()
    assert ("avx2" in facts["isa"]) == ("avx2" in flags)
    assert ("avx512_vnni" in facts["isa"]) == ("avx512_vnni" in flags)


def test_runs_from_a_file_and_from_bytes(graph: ModelProto, tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(2, 3, 1, 1)).astype(np.float32)
    wanted = np.einsum("oi,nihw->nohw", kernel[:, :, 0, 0], IMAGE)

    for source in (saved(graph, tmp_path), graph.SerializeToString()):
        session = sessions.open_session(source)
        y, z = sessions.run(session, IMAGE)
        np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(z, 2 * wanted, rtol=1e-5, atol=1e-6)
        (only,) = sessions.run(session, IMAGE, ["z"])
        np.testing.assert_array_equal(only, z)
        assert session.get_providers() == ["CPUExecutionProvider"]


def test_a_file_that_onnxruntime_cannot_load(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no onnx at all")

    with pytest.raises(ArtifactError, match=r"broken\.onnx: onnxruntime cannot load it") as caught:
        sessions.open_session(path)
    assert "\n" not in str(caught.value)
