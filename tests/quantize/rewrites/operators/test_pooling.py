"""Adaptive pooling, written out by torch's exporter."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.onnx_graph.graph import infer_shapes, normalise
from quantize.rewrites.operators.pooling import simplify_pooling
from tests.export.build import computed


@pytest.mark.slow
def test_it_gives_what_torch_gives(tmp_path: Path) -> None:
    """Where windows overlap, by another share along each axis."""
    image = torch.randn(1, 3, 12, 18, generator=torch.Generator().manual_seed(0))
    pool = torch.nn.Sequential(
        torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d((5, 12)), torch.nn.SiLU()
    )
    path = tmp_path / "pool.onnx"
    torch.onnx.export(pool, (image,), path, dynamo=True, input_names=["input"], verbose=False)
    made = infer_shapes(normalise(onnx.load(path)))
    change = simplify_pooling(made, {})
    assert change.summary.startswith("1 adaptive poolings")
    operators = [node.op_type for node in change.model.graph.node]
    assert operators.count("Conv") == 1 and "GatherND" not in operators
    (found,) = computed(change.model, input=image.numpy())
    np.testing.assert_allclose(found, pool(image).numpy(), atol=1e-6)
