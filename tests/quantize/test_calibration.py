import numpy as np
import onnx
import onnxruntime as ort
import pytest

from export.artifact import Artifact, Sample
from export.errors import CalibrationError
from export.graph import float_tensors
from quantize.calibration import collect
from quantize.statistics import MinMax
from validate.samples import Samples


def test_ranges_are_those_of_onnxruntimes_own_tensors(tiny: Artifact, samples: Samples) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(tiny.path))
    names = sorted(float_tensors(model))
    seen = {name: MinMax() for name in names}
    collect(model, tiny.manifest, {n: [s] for n, s in seen.items()}, samples)

    # independently: one output at a time, optimizer off, all images in one list
    for name in names[:: max(1, len(names) // 6)]:
        single = onnx.load(tiny.path)
        if name == "input":
            values = np.concatenate([s.image for s in samples])
        else:
            del single.graph.output[:]
            single.graph.output.append(onnx.ValueInfoProto(name=name))
            options = ort.SessionOptions()
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            session = ort.InferenceSession(single.SerializeToString(), options)
            values = np.concatenate([session.run(None, {"input": s.image})[0] for s in samples])
        assert seen[name].low == pytest.approx(values.min(), rel=1e-4, abs=1e-5)
        assert seen[name].high == pytest.approx(values.max(), rel=1e-4, abs=1e-5)


def test_no_images_is_an_error(tiny: Artifact) -> None:
    with pytest.raises(CalibrationError, match="no calibration images"):
        collect(onnx.load(tiny.path), tiny.manifest, {"input": [MinMax()]}, [])


def test_an_image_of_another_size_is_named(tiny: Artifact) -> None:
    wrong = Sample("2007_000001", np.zeros((1, 3, 33, 65), np.float32), "")
    with pytest.raises(CalibrationError, match="2007_000001"):
        collect(onnx.load(tiny.path), tiny.manifest, {"input": [MinMax()]}, [wrong])


def test_a_tensor_that_is_not_finite_is_named_with_its_image(tiny: Artifact) -> None:
    image = np.zeros((1, 3, 65, 65), np.float32)
    image[0, 0, 5, 5] = np.nan
    good = Sample("good", np.zeros_like(image), "")
    with pytest.raises(CalibrationError, match="image bad: tensor input is not finite"):
        collect(
            onnx.load(tiny.path),
            tiny.manifest,
            {"input": [MinMax()]},
            [good, Sample("bad", image, "")],
        )
