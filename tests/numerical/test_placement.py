"""With 16 bits for everything, every target's file gives what fp32 gives, whatever the network.

What is left then is where pairs stand, which scales go together and which layers are left out: a
fault there is as large in 16 bits as in 8, where rounding hides it.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from export.artifact.artifact import Artifact, write_artifact
from export.artifact.sample import Sample
from export.common.errors import QuantizeError
from export.onnx_graph.graph import dims
from quantize.lint.lint import lint
from quantize.quantization import quantize
from quantize.self_check import SelfCheck
from quantize.settings import Settings
from quantize.target import Target
from quantize.targets import TARGETS
from tests.numerical.mixed import mixed
from tests.numerical.networks import Floats, images
from tests.numerical.sizes import cases

FINE = 30
"""SQNR of the logits, dB. Rounding to 16 bits leaves 40 and more, where a normalization or a Clip
does not magnify it; a lost Clip leaves less than 20."""
NAMES = list(TARGETS)


def _sixteen(target: Target) -> Target:
    """The same placement with 16-bit integers, which nothing here must run in int8."""
    kind = "uint16" if target.activation == "uint8" else "int16"
    return replace(
        target, activation=kind, weight="int16", weight_max=2**15 - 1, fixed={}, opset=21,
        machines=(), fuses={}, kernels=None, range="minmax", mask_head="plain",
    )  # fmt: skip


def _as_written(artifact: Artifact, image: Floats) -> Floats:
    """Run it unoptimized: onnxruntime makes int32 of float biases, which 16 x 16 bits overflow."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(artifact.path, options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input": image})
    return np.asarray(logits, np.float32)


@pytest.mark.parametrize("seed", cases(66))
def test_a_files_structure_loses_nothing(
    seed: int, tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = NAMES[seed % len(NAMES)]
    monkeypatch.setitem(TARGETS, name, _sixteen(TARGETS[name]))
    fp32, file, given = _quantized(seed, name, tiny, tmp_path)
    errors = [finding for finding in lint(file) if finding.severity == "error"]
    # scales are made powers of two for 8 bits
    assert [one for one in errors if one.rule != "power-of-two"] == []
    for image in given:
        wanted, found = _as_written(fp32, image), _as_written(file, image)
        noise = float(((found - wanted).astype(np.float64) ** 2).sum())
        assert noise <= 10 ** (-FINE / 10) * float((wanted.astype(np.float64) ** 2).sum()), name


def _quantized(
    seed: int, target: str, tiny: Artifact, folder: Path
) -> tuple[Artifact, Artifact, list[Floats]]:
    """A random network, what becomes of it, and its images; the next, where nothing can."""
    made = mixed(seed)
    given = images(made, 3, seed)
    shape = tuple(dims(made.graph.input[0]))
    manifest = tiny.manifest.model_copy(
        update={
            "input": tiny.manifest.input.model_copy(update={"shape": shape}),
            "macs_shape": shape[1:],
        }
    )
    fp32 = write_artifact(made.SerializeToString(), manifest, folder)
    samples = [Sample(str(i), image, f"{i:064x}") for i, image in enumerate(given)]
    try:
        file = quantize(
            fp32, "int8", folder / "made", samples=samples,
            settings=Settings(target=target, skipped=("gptq",)), check=SelfCheck(force=True),
        )  # fmt: skip
    except QuantizeError as error:
        if "no layer is left" not in str(error):
            raise
        return _quantized(seed + 100_000, target, tiny, folder)
    return fp32, file, given
