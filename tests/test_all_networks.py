"""Every network of the zoo goes the whole way with seeded random weights."""

from pathlib import Path

import numpy as np
import pytest

from export.artifact import load_artifact
from export.onnx_export import export_model
from export.zoo import ZOO
from quantize.quantization import quantize
from validate.datasets import open_dataset
from validate.runtimes import open_runtime
from validate.samples import Preparation, Samples

SIZE = (257, 257)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_export_fp16_int8_and_inference(name: str, voc: Path, tmp_path: Path) -> None:
    fp32 = export_model(name, "random", tmp_path, size=SIZE)
    dataset = open_dataset(f"{voc}:train", "train", masks=False)
    samples = Samples(dataset, Preparation.for_artifact(fp32.manifest, "squash"))
    masks = {}
    for artifact in (
        fp32,
        quantize(fp32, "fp16", tmp_path, samples=samples, protocol="squash"),
        quantize(fp32, "int8", tmp_path, samples=samples, protocol="squash"),
    ):
        runtime = open_runtime(load_artifact(artifact.path))
        outputs = runtime.engine.outputs(samples[0].image)
        assert outputs["logits"].shape == (1, 21, *SIZE)
        assert np.isfinite(outputs["logits"]).all()
        masks[artifact.manifest.precision] = runtime.mask(outputs)
    # chance agreement between 21 classes would be far below these
    assert (masks["fp16"] == masks["fp32"]).mean() > 0.98
    assert (masks["int8"] == masks["fp32"]).mean() > 0.5
    assert artifact.manifest.checks["int8"]["int8_macs_share"] > 0.97
