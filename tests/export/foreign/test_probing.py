"""Files that never end, want all memory or fail: one line that names the file, in bounded time."""

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper

from export.common.errors import ArtifactError
from export.foreign import probing
from export.onnx_import import import_model
from tests.export.build import constant, model, saved, value, weight

SIDE = 48

pytestmark = pytest.mark.processes


def _refused(graph: onnx.ModelProto, folder: Path) -> str:
    file = saved(graph, folder)
    begun = time.monotonic()
    with pytest.raises(ArtifactError) as caught:
        import_model(file, folder / "out", range_="0-1", classes="3")
    assert time.monotonic() - begun < 30
    assert [path.name for path in folder.iterdir()] == ["net.onnx"]
    message = str(caught.value)
    assert message.startswith(str(file)) and "\n" not in message
    return message


def _network(nodes: list[NodeProto], *constants: TensorProto) -> onnx.ModelProto:
    head = helper.make_node("Conv", ["z", "w"], ["y"])
    return model(
        [*nodes, head],
        [value("x", (1, 3, SIDE, SIDE))],
        [value("y", None)],
        [weight("w", 3, 3, 1, 1), *constants],
    )


@pytest.mark.slow
def test_a_loop_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_SECONDS_LOOPING", 4.0)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Identity", ["now"], ["then"]),
        ],
        "body",
        [
            value("i", (), TensorProto.INT64),
            value("go", (), TensorProto.BOOL),
            value("now", (1, 3, SIDE, SIDE)),
        ],
        [value("still", (), TensorProto.BOOL), value("then", (1, 3, SIDE, SIDE))],
    )
    loop = helper.make_node("Loop", ["", "yes", "x"], ["z"], body=body)
    said = _refused(_network([loop], constant("yes", np.bool_(True))), tmp_path)
    assert "cannot be run (it takes longer than 4 s)" in said


@pytest.mark.slow
@pytest.mark.parametrize("operator", ["Expand", "Tile", "Resize", "Pad"])
def test_a_tensor_that_no_machine_holds(
    operator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "_BASE", 3 << 30)
    side = 60_000  # 43 GB
    wanted = {
        "Expand": (["one", "size"], np.array([1, 3, side, side])),
        "Tile": (["one", "size"], np.array([1, 3, side, side])),
        "Resize": (["x", "", "", "size"], np.array([1, 3, side, side])),
        "Pad": (["x", "size"], np.array([0, 0, 0, 0, 0, 0, side, side])),
    }
    inputs, size = wanted[operator]
    nodes = [
        helper.make_node(operator, inputs, ["big"]),
        helper.make_node("ReduceMean", ["big", "axes"], ["m"]),
        helper.make_node("Add", ["x", "m"], ["z"]),
    ]
    constants = [
        constant("one", np.ones((1, 1, 1, 1), np.float32)),
        constant("size", size.astype(np.int64)),
        constant("axes", np.array([2, 3])),
    ]
    _refused(_network(nodes, *constants), tmp_path)


def test_what_onnxruntime_says_of_it_comes_with_the_file(tmp_path: Path) -> None:
    gather = helper.make_node("Gather", ["x", "far"], ["z"], axis=1)
    said = _refused(_network([gather], constant("far", np.array([0, 1, 70]))), tmp_path)
    assert "indices" in said
