"""What the layers of a file take, as onnxruntime's profiler says."""

from pathlib import Path

import numpy as np
from onnx import ModelProto, helper

from tests.export.build import model, saved, value, weight
from validate.profiling.times import kernel_times


def _net(operator: str) -> ModelProto:
    return model(
        [
            helper.make_node("Conv", ["input", "w"], ["a"], name="first"),
            helper.make_node(operator, ["a"], ["output"], name="second"),
        ],
        [value("input", (1, 16, 32, 32))],
        [value("output", (1, 32, 30, 30))],
        [weight("w", 32, 16, 3, 3)],
    )


def test_times_are_those_of_the_files_own_layers(tmp_path: Path) -> None:
    files = [saved(_net(operator), tmp_path, operator) for operator in ("Erf", "Softplus")]
    image = np.random.default_rng(0).normal(size=(1, 16, 32, 32)).astype(np.float32)
    for times, operator in zip(kernel_times(files, image, 3), ("Erf", "Softplus"), strict=True):
        by_layer = {time.layer: time for time in times}
        assert by_layer["first"].operator == "Conv" and by_layer["second"].operator == operator
        assert by_layer["first"].macs == 30 * 30 * 32 * 16 * 9 and by_layer["second"].macs == 0
        assert by_layer["first"].kind == "float" and by_layer["first"].ms > 0
