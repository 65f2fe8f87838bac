"""Networks of other makes through the whole job, on the command line."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image

from tests.export.build import computed, constant, model, saved, value, weight
from tests.segport.command import segport

pytestmark = pytest.mark.slow

SIDE = 48
STATISTICS = ["--mean", 0.5, 0.4, 0.3, "--std", 0.2, 0.25, 0.3]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures with masks of 0 and 255, called as people call them."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for index in range(6):
        cells = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        picture = Image.fromarray(cells).resize((60, 50), Image.Resampling.BICUBIC)
        picture.save(root / f"images/p{index}.png")
        mask = rng.integers(0, 2, (5, 6)).astype(np.uint8) * 255
        grown = Image.fromarray(mask).resize((60, 50), Image.Resampling.NEAREST)
        grown.save(root / f"masks/p{index}_mask.png")
    return root


def _binary_bytes() -> onnx.ModelProto:
    """uint8 (N, H, W, 3) to the probability of one class (N, H, W, 1)."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["t", "scale"], ["s"]),
        helper.make_node("Conv", ["s", "w"], ["a"], pads=[1] * 4, name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "m"], ["c"], pads=[1] * 4, name="second"),
        helper.make_node("Relu", ["c"], ["d"], name="relu2"),
        helper.make_node("Conv", ["d", "h"], ["l"], name="head"),
        helper.make_node("Sigmoid", ["l"], ["p"]),
        helper.make_node("Transpose", ["p"], ["y"], perm=[0, 2, 3, 1]),
    ]
    constants = [
        weight("w", 8, 3, 3, 3),
        weight("m", 8, 8, 3, 3, seed=2),
        weight("h", 1, 8, 1, 1, seed=1),
        constant("scale", np.float32(1 / 255)),
    ]
    given = value("x", (1, SIDE, SIDE, 3), TensorProto.UINT8)
    return model(nodes, [given], [value("y", (1, SIDE, SIDE, 1))], constants, opset=13)


def _with_branch() -> onnx.ModelProto:
    """An If that takes what a convolution gives, and weights, from outside."""

    def branch(name: str, operator: str, *more: str) -> onnx.GraphProto:
        node = helper.make_node(operator, ["a", *more], [name])
        return helper.make_graph([node], name, [], [value(name, None)])

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4, name="first"),
        helper.make_node("ReduceMax", ["a"], ["m"], keepdims=0),
        helper.make_node("Greater", ["m", "zero"], ["c"]),
        helper.make_node(
            "If", ["c"], ["b"], then_branch=branch("t", "Conv", "k"), else_branch=branch("e", "Abs")
        ),
        helper.make_node("Conv", ["b", "h"], ["y"], name="head"),
    ]
    constants = [
        weight("w", 8, 3, 3, 3), weight("h", 2, 8, 1, 1, seed=1), constant("zero", np.float32(0)),
        weight("k", 8, 8, 1, 1, seed=3),
    ]  # fmt: skip
    given = [value("x", (1, 3, SIDE, SIDE))]
    return model(nodes, given, [value("y", None)], constants, opset=17)


def _with_loop() -> onnx.ModelProto:
    """Two rounds of v = v / 2 + a, behind which onnx knows no shape."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Mul", ["v", "half"], ["less"]),
            helper.make_node("Add", ["less", "a"], ["more"]),
        ],
        "body",
        [value("i", (), TensorProto.INT64), value("go", (), TensorProto.BOOL), value("v", None)],
        [value("still", (), TensorProto.BOOL), value("more", None)],
    )
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4, name="first"),
        helper.make_node("Loop", ["rounds", "go_on", "a"], ["l"], body=body, name="loop"),
        helper.make_node("Relu", ["l"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "k"], ["c"], pads=[1] * 4, name="second"),
        helper.make_node("Relu", ["c"], ["d"], name="relu2"),
        helper.make_node("Conv", ["d", "h"], ["y"], name="head"),
    ]
    constants = [
        weight("w", 8, 3, 3, 3), weight("k", 8, 8, 3, 3, seed=3), weight("h", 2, 8, 1, 1, seed=1),
        constant("half", np.float32(0.5)), constant("rounds", np.int64(2)),
        constant("go_on", np.bool_(True)),
    ]  # fmt: skip
    given = [value("x", (1, 3, SIDE, SIDE))]
    return model(nodes, given, [value("y", None)], constants, opset=17)


def _job(network: onnx.ModelProto, data: Path, folder: Path, *options: object) -> Path:
    """Import, quantize, validate and predict; return the folder."""
    out = folder / "out"
    file = saved(network, folder)
    made = segport("import", file, "--classes", "person", *options, "-o", out)
    assert made.code == 0, made.err
    fp32 = out / "net-fp32.onnx"
    for precision in ("fp16", "int8"):
        common = ["--precision", precision, "--calibration", data, "-o", out]
        target = ["--target", "cpu"] if precision == "int8" else []
        answer = segport("quantize", fp32, *common, *target)
        assert answer.code == 0, answer.err
    check = ["validate", *sorted(out.glob("*.onnx")), "--data", data, "--allow-overlap"]
    refused = segport(*check, "-o", out / "result")
    assert refused.code == 2 and "--labels binary" in refused.errors[0]
    assert not (out / "result").exists()
    judged = segport(*check, "--labels", "binary", "-o", out / "result", "--json")
    assert judged.code == 0, judged.err
    assert judged.json["dataset"]["label_map"] == "binary"
    assert all(artifact["agreement"] > 95 for artifact in judged.json["artifacts"])
    shown = segport("predict", fp32, data / "images", "-o", out / "masks")
    assert shown.code == 0, shown.err
    return out


def _prepared(picture: Path) -> NDArray[np.uint8]:
    with Image.open(picture) as image:
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def test_bytes_channels_last_and_one_class(data: Path, tmp_path: Path) -> None:
    out = _job(_binary_bytes(), data, tmp_path)
    for picture in sorted((data / "images").iterdir()):
        (probability,) = computed(tmp_path / "net.onnx", x=_prepared(picture)[None])
        small = Image.fromarray((probability[0, ..., 0] > 0.5).astype(np.uint8))
        with Image.open(out / f"masks/{picture.stem}-mask.png") as image:
            found = np.asarray(image)
        wanted = np.asarray(small.resize(found.shape[::-1], Image.Resampling.NEAREST))
        assert (found == wanted).mean() > 0.9  # logits, not masks, are enlarged
        assert 0.02 < wanted.mean() < 0.98


@pytest.mark.parametrize(
    ("operator", "network"), [("If", _with_branch()), ("Loop", _with_loop())], ids=["if", "loop"]
)
def test_a_subgraph_beside_the_convolutions_leaves_them_in_int8(
    operator: str, network: onnx.ModelProto, data: Path, tmp_path: Path
) -> None:
    out = _job(network, data, tmp_path, *STATISTICS, "--classes", "background,person")
    operators = [node.op_type for node in onnx.load(out / "net-int8.onnx").graph.node]
    assert operator in operators and "QuantizeLinear" in operators
    picture = next((data / "images").iterdir())
    pixels = _prepared(picture).astype(np.float32) / 255
    fed = ((pixels - (0.5, 0.4, 0.3)) / (0.2, 0.25, 0.3)).transpose(2, 0, 1)[None]
    batch = fed.astype(np.float32)
    (wanted,) = computed(tmp_path / "net.onnx", x=batch)
    for name in ("fp32", "int8"):
        (found,) = computed(out / f"net-{name}.onnx", input=batch)
        assert (found.argmax(1) == wanted.argmax(1)).mean() > 0.95
