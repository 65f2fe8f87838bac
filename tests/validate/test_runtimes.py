from pathlib import Path

import numpy as np
import pytest

from export.artifact import Artifact
from export.errors import (
    ArtifactError,
    CheckpointError,
    RuntimeUnavailableError,
    SegportError,
    UsageError,
)
from export.onnx_export import export_model
from export.sessions import CPU, has_cuda
from validate.runtimes import default_runtime, open_runtime, open_torch
from validate.samples import Samples


def _relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("cuda", [False, True])
def test_default_runtime_of_each_precision(
    tiny: Artifact,
    int8: Artifact,
    fp16: Artifact,
    monkeypatch: pytest.MonkeyPatch,
    cuda: bool,
) -> None:
    monkeypatch.setattr("validate.runtimes.has_cuda", lambda: cuda)
    assert default_runtime(tiny.manifest) == "ort-cpu"
    assert default_runtime(int8.manifest) == "ort-cpu"
    assert default_runtime(fp16.manifest) == ("ort-cuda" if cuda else "ort-fp16")


def test_unknown_runtime_gets_the_nearest(tiny: Artifact) -> None:
    with pytest.raises(UsageError, match="unknown runtime 'ort-cup': did you mean 'ort-cpu'"):
        open_runtime(tiny, "ort-cup")


def test_emulation_is_refused_for_other_precisions(tiny: Artifact, int8: Artifact) -> None:
    for artifact in (tiny, int8):
        with pytest.raises(RuntimeUnavailableError, match="use --runtime ort-cpu"):
            open_runtime(artifact, "ort-fp16")


def test_cuda_where_there_is_none_says_so(tiny: Artifact) -> None:
    if has_cuda():
        pytest.skip("this machine has CUDA")
    with pytest.raises(RuntimeUnavailableError, match="ort-cuda: no CUDA device"):
        open_runtime(tiny, "ort-cuda")


def test_cuda_gives_the_same_classes_where_there_is_one(tiny: Artifact, samples: Samples) -> None:
    if not has_cuda():
        pytest.skip("this machine has no CUDA")
    on_gpu, on_cpu = open_runtime(tiny, "ort-cuda"), open_runtime(tiny, "ort-cpu")
    image = samples[0].image
    gpu, cpu = on_gpu.engine.outputs(image), on_cpu.engine.outputs(image)
    assert on_gpu.provider == "CUDAExecutionProvider"
    assert (on_gpu.mask(gpu) == on_cpu.mask(cpu)).mean() > 0.99


def test_opened_runtimes_say_what_executes(tiny: Artifact, fp16: Artifact) -> None:
    plain, emulated = open_runtime(tiny), open_runtime(fp16, "ort-fp16")
    assert (plain.name, plain.provider, plain.times_artifact) == ("ort-cpu", CPU, True)
    assert (emulated.name, emulated.provider, emulated.times_artifact) == ("ort-fp16", CPU, False)


def test_torch_and_onnxruntime_compute_the_same(tiny: Artifact, samples: Samples) -> None:
    image = samples[0].image
    torch_logits = open_torch(tiny.manifest, None).engine.outputs(image)["logits"]
    onnx_logits = open_runtime(tiny).engine.outputs(image)["logits"]
    assert torch_logits.shape == onnx_logits.shape == (1, 21, 65, 65)
    assert _relative(onnx_logits, torch_logits) < 1e-4


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_mask_is_the_argmax_of_the_logits(
    tiny: Artifact, fp16: Artifact, int8: Artifact, samples: Samples, precision: str
) -> None:
    runtime = open_runtime({"fp32": tiny, "fp16": fp16, "int8": int8}[precision])
    outputs = runtime.engine.outputs(samples[1].image)
    mask = runtime.mask(outputs)
    assert mask.shape == (1, 65, 65) and mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, outputs["logits"].argmax(1))
    assert len(np.unique(mask)) > 1


def test_float16_inputs_and_outputs_are_converted(
    tiny: Artifact, half_io: Artifact, samples: Samples
) -> None:
    image = samples[0].image
    expected = open_runtime(tiny).engine.outputs(image)["logits"]
    assert half_io.manifest.input.dtype == "float16"
    for name in ("ort-cpu", "ort-fp16"):
        found = open_runtime(half_io, name).engine.outputs(image)["logits"]
        assert found.dtype == np.float32
        # float16 has 11 bits, some layers add up
        assert 0 < _relative(found, expected) < 0.02


def test_a_fixed_batch_is_filled_and_one_image_returned(
    tiny: Artifact, samples: Samples, tmp_path: Path
) -> None:
    pair = export_model(
        "tests.networks:tiny", "default", tmp_path, size=(65, 65), batch=2, output="both"
    )
    assert pair.manifest.input.shape[0] == 2
    image = samples[0].image
    found = open_runtime(pair).engine.outputs(image)
    expected = open_runtime(tiny).engine.outputs(image)["logits"]
    assert found["logits"].shape == expected.shape and found["mask"].shape == (1, 65, 65)
    assert _relative(found["logits"], expected) < 1e-5
    np.testing.assert_array_equal(found["mask"], expected.argmax(1))


def test_torch_reference_from_its_checkpoint(
    from_file: Artifact, checkpoint: Path, tiny: Artifact, samples: Samples
) -> None:
    image = samples[0].image
    found = open_torch(from_file.manifest, str(checkpoint)).engine.outputs(image)["logits"]
    expected = open_torch(tiny.manifest, None).engine.outputs(image)["logits"]
    np.testing.assert_array_equal(found, expected)


def test_torch_reference_needs_the_checkpoint_it_was_exported_from(
    from_file: Artifact, checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"exported from tiny\.pth.*--weights"):
        open_torch(from_file.manifest, None)
    with pytest.raises(CheckpointError, match="no such file"):
        open_torch(from_file.manifest, str(tmp_path / "gone.pth"))
    changed = tmp_path / "tiny.pth"
    changed.write_bytes(checkpoint.read_bytes() + b"\0")
    with pytest.raises(ArtifactError, match="sha256 is not that of the checkpoint"):
        open_torch(from_file.manifest, str(changed))


@pytest.mark.parametrize("weights", ["random", "default"])
def test_torch_reference_never_takes_other_weights_for_a_checkpoint(
    from_file: Artifact, weights: str
) -> None:
    with pytest.raises(SegportError, match=weights):
        open_torch(from_file.manifest, weights)


def test_torch_reference_never_takes_a_checkpoint_for_other_weights(
    tiny: Artifact, checkpoint: Path
) -> None:
    """`tiny` was exported with `default`: no file can be shown to be the same."""
    with pytest.raises(SegportError, match="default"):
        open_torch(tiny.manifest, str(checkpoint))


def test_imported_networks_have_no_torch_reference(tiny: Artifact) -> None:
    weights = tiny.manifest.weights.model_copy(update={"how": "import", "file": "x.onnx"})
    imported = tiny.manifest.model_copy(update={"weights": weights})
    with pytest.raises(UsageError, match=r"was imported.*give its fp32 artifact"):
        open_torch(imported, None)


def test_random_weights_are_rebuilt_from_the_seed(
    tmp_path: Path, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = export_model("tests.networks:Tiny", "random", tmp_path, size=(65, 65), seed=3)
    image = samples[0].image
    onnx_logits = open_runtime(made).engine.outputs(image)["logits"]
    torch_logits = open_torch(made.manifest, None).engine.outputs(image)["logits"]
    assert _relative(onnx_logits, torch_logits) < 1e-4
    other_seed = made.manifest.weights.model_copy(update={"seed": 4})
    other = made.manifest.model_copy(update={"weights": other_seed})
    assert _relative(open_torch(other, None).engine.outputs(image)["logits"], torch_logits) > 0.1
