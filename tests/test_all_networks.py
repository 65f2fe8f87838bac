"""The zoo goes the whole way with seeded random weights: every shape of a layer, every depth.

The five that are not here consist of the same layers (a test says so); benchmarks/zoo_int8.py has
all twelve.
"""

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from export.artifact.artifact import load_artifact
from export.networks.table import ZOO
from export.networks.torch_cost import torch_cost
from export.networks.zoo import meta_network
from export.onnx_export import export_model
from quantize.quantization import quantize
from quantize.settings import Settings
from validate.data.datasets import open_dataset
from validate.runtime.runtimes import open_runtime
from validate.samples.samples import Preparation, Samples

SIZE = (129, 129)
COMPENSATED = [
    *(name for name in ZOO if "mobilenet" in name),
    "deeplabv3plus_resnet50",
    "torchvision/fcn_resnet50",
]
"""Networks quantized with all defaults. Compensated rounding takes minutes of a ResNet, and layer
by layer: the deepest, whose layers have the same shapes, is rounded to nearest."""
DEEPEST = "torchvision/fcn_resnet101"


def test_every_shape_of_a_layer_is_rounded_with_all_defaults() -> None:
    def shapes(name: str) -> set[tuple[int, ...]]:
        layers = (m for m in meta_network(name, 21).modules() if isinstance(m, nn.Conv2d))
        return {(*layer.weight.shape, layer.groups) for layer in layers}

    compensated = set().union(*map(shapes, COMPENSATED))
    assert all(shapes(name) <= compensated for name in ZOO)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*COMPENSATED, DEEPEST])
def test_export_fp16_int8_and_inference(name: str, voc: Path, tmp_path: Path) -> None:
    fp32 = export_model(name, "random", tmp_path, size=SIZE)
    # which at 513x513 is the published figure, of all: tests/export/networks/test_zoo.py
    assert fp32.manifest.macs == torch_cost(meta_network(name, 21), SIZE).macs
    dataset = open_dataset(f"{voc}:train", "train", masks=False)
    samples = Samples(dataset, Preparation.for_artifact(fp32.manifest, "squash"))
    whole = name in COMPENSATED
    settings = Settings(skipped=() if whole else ("gptq",))
    logits = {}
    for artifact in (
        fp32,
        quantize(fp32, "fp16", tmp_path, samples=samples if whole else ()),
        quantize(fp32, "int8", tmp_path, samples=samples, settings=settings),
    ):
        runtime = open_runtime(load_artifact(artifact.path))
        outputs = runtime.engine.outputs(samples[0].image)
        assert outputs["logits"].shape == (1, 21, *SIZE)
        logits[artifact.manifest.precision] = outputs["logits"]

    def error(precision: str) -> float:
        # classes of a random network are nearly tied, so argmax tells nothing: compare logits
        difference = logits[precision] - logits["fp32"]
        return float(np.sqrt(np.mean(difference**2)) / np.std(logits["fp32"]))

    assert error("fp16") < 0.02
    assert error("int8") < 0.3
    # MobileNetV3's depthwise convolutions lie between float HardSwishes, where int8 is not faster
    least = 0.95 if "mobilenet_v3" in name else 0.97
    assert artifact.manifest.checks["int8"]["int8_macs_share"] > least
