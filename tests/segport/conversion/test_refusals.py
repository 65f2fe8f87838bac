"""What has no equal in LiteRT is named, all of it, and nothing is written."""

import sys
from pathlib import Path

import numpy as np
import pytest

from export.artifact.artifact import Artifact
from export.common.errors import ExportError, RuntimeUnavailableError
from segport.conversion.litert.running import open_litert
from segport.conversion.litert.writing import write
from tests.segport.command import segport
from tests.segport.conversion.small import network


@pytest.mark.parametrize(
    ("nodes", "constants", "said"),
    [
        (["y = Erf (x)"], {}, "erf_0 (Erf: no such operator)"),
        (["y = DepthToSpace <blocksize=2, mode=\"CRD\"> (x)"], {}, "mode CRD"),
        (["y = Softmax <axis=3> (x)"], {}, "axis 3"),
        (["y = Resize <mode=\"cubic\"> (x, , s)"], {"s": np.ones(4, np.float32)}, "mode cubic"),
        (
            ["y = Resize <mode=\"nearest\", nearest_mode=\"ceil\"> (x, , s)"],
            {"s": np.array([1, 1, 2, 2], np.float32)}, "LiteRT places no pixels like that",
        ),
        (["r = Relu (x)", "y = Gather <axis=1> (x, i)"], {"i": np.array([[0]])}, "more than one"),
    ],
)  # fmt: skip
def test_a_node_without_an_equal_is_named(
    nodes: list[str], constants: dict[str, object], said: str
) -> None:
    with pytest.raises(ExportError, match="LiteRT has no equal of") as raised:
        write(network(nodes, **constants))
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_all_nodes_without_an_equal_are_named() -> None:
    with pytest.raises(ExportError) as raised:
        write(network(["a = Erf (x)", "b = Relu (a)", "c = Sin (b)", "y = Cosh (c)"]))
    assert all(name in str(raised.value) for name in ("erf_0", "sin_2", "cosh_3"))
    assert "relu" not in str(raised.value)


def test_a_size_that_may_vary_is_refused() -> None:
    model = network(["y = Relu (x)"])
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ExportError, match=r"tensor x is 1x4x\?x8.*fixed"):
        write(model)


def test_a_damaged_tflite_is_refused() -> None:
    content, _ = write(network(["y = Relu (x)"]))
    with pytest.raises(ExportError, match="LiteRT cannot run what was written"):
        open_litert(content[: len(content) // 2])


def test_a_missing_package_names_the_extra(
    tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'segport\[litert\]'"):
        write(network(["y = Relu (x)"]))
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'segport\[litert\]'"):
        open_litert(b"")


def test_a_file_that_was_cut_is_refused(tiny: Artifact, voc: Path, tmp_path: Path) -> None:
    source = tmp_path / tiny.path.name
    source.write_bytes(tiny.path.read_bytes()[:500])
    source.with_suffix(".json").write_bytes(tiny.path.with_suffix(".json").read_bytes())
    out = tmp_path / "out"
    answer = segport(
        "convert", source, "--to", "litert", "--images", voc, "-o", out / "tiny.tflite"
    )
    assert answer.code == 2 and len(answer.errors) == 1 and "sha256" in answer.errors[0]
    assert not out.exists()
