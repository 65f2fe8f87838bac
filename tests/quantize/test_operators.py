"""Networks of real size whose operators int8 has no kernels for: what runs in int8, and why not."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from benchmarks.networks.table import exported
from export.artifact.artifact import Artifact
from export.ort.inspection import inspect
from export.ort.sessions import open_session
from quantize.quantization import quantize
from quantize.settings import Settings
from validate.data.datasets import open_dataset
from validate.samples.samples import Preparation, Samples

SIZE = (256, 320)
UNET = "unet_transposed_k4"
pytestmark = [pytest.mark.shared, pytest.mark.slow]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Any:
    """Make fp32 and int8 of one of `benchmarks.networks.own`, once."""
    done: dict[str, tuple[Artifact, Artifact]] = {}

    def make(name: str) -> tuple[Artifact, Artifact]:
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            fp32 = exported(name, folder, shared / "voc/VOCdevkit")
            # how weights are rounded decides no operator; one has the default, for its values
            skipped = () if name == UNET else ("gptq",)
            # everything that can be int8, not only what pays as on the target cpu
            settings = Settings(target="cpu-avx2", skipped=skipped)
            done[name] = (
                fp32,
                quantize(fp32, "int8", folder, samples=photos(fp32, shared), settings=settings),
            )
        return done[name]

    return make


def photos(artifact: Artifact, shared: Path) -> Samples:
    dataset = open_dataset(f"{shared}/voc/VOCdevkit:train", "train", masks=False).sample(4, 0)
    return Samples(dataset, Preparation.for_artifact(artifact.manifest, "squash"))


def operators(artifact: Artifact) -> Any:
    return inspect(artifact.path, (1, 3, *SIZE)).operators


def reasons(artifact: Artifact) -> set[tuple[str, str]]:
    layers = artifact.manifest.checks["int8"]["float_layers"]
    return {(layer["operator"], layer["reason"]) for layer in layers}


def test_a_unet_goes_up_in_int8(made: Any) -> None:
    fp32, int8 = made(UNET)
    assert "ConvTranspose" in {node.op_type for node in onnx.load(fp32.path).graph.node}
    facts = int8.manifest.checks["int8"]
    assert facts["int8_macs_share"] >= 0.98
    # three on the way down and up, two each; four convolutions up, the last one gives the output
    assert facts["fused"] == {"Concat": [3, 3], "Conv": [17, 17]}
    assert reasons(int8) == {("Conv", "gives the output")}
    (last,) = facts["float_layers"]
    assert last["macs_share"] == pytest.approx(1 - facts["int8_macs_share"])
    # integers are moved, not floats
    assert {"DequantizeLinear": 1, "QuantizeLinear": 1, "DepthToSpace": 3}.items() <= operators(
        int8
    ).items()


def test_int8_says_what_fp32_says(made: Any, shared: Path) -> None:
    fp32, int8 = made(UNET)
    image = photos(fp32, shared)[0].image
    before, after = (open_session(one.path).run(None, {"input": image})[0] for one in (fp32, int8))
    noise = np.mean((after - before) ** 2)
    assert 10 * np.log10(np.var(before) / noise) > 20  # a tenth of the deviation


def test_hard_swish_runs_in_int8(made: Any) -> None:
    _, int8 = made("mobile_hard_swish")
    found = operators(int8)
    assert not {"HardSigmoid", "HardSwish", "Mul", "Add", "Clip", "Conv"} & set(found)
    assert int8.manifest.checks["int8"]["int8_macs_share"] > 0.99
    assert reasons(int8) == {("Resize", "gives the output")}


def test_attention_and_gelu_stay_in_float(made: Any) -> None:
    _, int8 = made("transformer_attention")
    found = operators(int8)
    assert found["Gelu"] == 3
    # of each block's two products of activations; four with weights, two of these give float
    assert found["MatMul"] + found["FusedMatMul"] == 6
    assert found["QLinearMatMul"] + found["MatMulIntegerToFloat"] == 12
    assert {
        ("MatMul", "product of two activations, slower in int8"),
        ("Erf", "part of a GELU, one float kernel"),
        ("LayerNormalization", "no int8 operator for it"),
        ("Resize", "gives the output"),
    } <= reasons(int8)


def test_what_is_asked_to_stay_is_told_apart(made: Any, shared: Path, tmp_path: Path) -> None:
    fp32, _ = made(UNET)
    up = next(n.name for n in onnx.load(fp32.path).graph.node if n.op_type == "ConvTranspose")
    settings = Settings(target="cpu", keep_float=(up,), skipped=("gptq",))
    kept = quantize(fp32, "int8", tmp_path, samples=photos(fp32, shared), settings=settings)
    layers = {one["layer"]: one for one in kept.manifest.checks["int8"]["float_layers"]}
    assert (layers[up]["operator"], layers[up]["reason"]) == ("Conv", "--keep-float")
    # 96 channels to 4 x 64 by 2 x 2 taps at one position more than 32 x 40 each way
    facts = kept.manifest.checks["int8"]
    head = next(one for one in layers.values() if one["reason"] == "gives the output")
    whole = 33 * 41 * 4 * 96 * 4 * 64 / layers[up]["macs_share"]
    assert whole * head["macs_share"] == pytest.approx(16 * 21 * 256 * 320)
    assert facts["int8_macs_share"] == pytest.approx(
        1 - head["macs_share"] - layers[up]["macs_share"]
    )
