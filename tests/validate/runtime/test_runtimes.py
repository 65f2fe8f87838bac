from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from export.artifact.artifact import Artifact
from export.common.errors import (
    ArtifactError,
    CheckpointError,
    RuntimeUnavailableError,
    SegportError,
    UsageError,
)
from export.onnx_export import export_model
from export.ort.providers import CPU, has_cuda
from export.ort.sessions import open_session
from validate.runtime.runtimes import default_runtime, open_runtime
from validate.runtime.torch_network import open_torch
from validate.samples.samples import Samples


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
    monkeypatch.setattr("validate.runtime.runtimes.has_cuda", lambda: cuda)
    assert default_runtime(tiny.manifest) == "ort-cpu"
    assert default_runtime(int8.manifest) == "ort-cpu"
    assert default_runtime(fp16.manifest) == ("ort-cuda" if cuda else "ort-fp16")


def test_emulation_is_refused_for_other_precisions(tiny: Artifact, int8: Artifact) -> None:
    for artifact in (tiny, int8):
        with pytest.raises(RuntimeUnavailableError, match="use --runtime ort-cpu"):
            open_runtime(artifact, "ort-fp16")


def test_cuda_where_there_is_none_says_so(tiny: Artifact) -> None:
    if has_cuda():
        pytest.skip("this machine has CUDA")
    for name, instead in (
        ("ort-cuda", "ort-cpu"),
        ("ort-tensorrt", "ort-cpu"),
        ("torch-cuda", "torch"),
    ):
        with pytest.raises(RuntimeUnavailableError, match=f"^{name}: .*no CUDA device") as caught:
            open_runtime(tiny, name)
        assert f"--runtime {instead}, or --allow-fallback" in str(caught.value)


def test_an_allowed_fallback_is_named_after_what_ran(
    tiny: Artifact, fp16: Artifact, samples: Samples
) -> None:
    if has_cuda():
        pytest.skip("this machine has CUDA")
    for artifact, asked, ran in (
        (tiny, "ort-cuda", "ort-cpu"),
        (tiny, "ort-tensorrt", "ort-cpu"),
        (fp16, "ort-cuda", "ort-fp16"),
        (tiny, "torch-cuda", "torch"),
    ):
        opened = open_runtime(artifact, asked, allow_fallback=True)
        assert opened.name == ran
        assert f"{asked} was asked for, {ran} ran" in opened.warnings[0]
        assert opened.engine.outputs(samples[0].image)["logits"].shape == (1, 21, 65, 65)


class _Placed:
    """A session that says its nodes lie where a test wants."""

    def __init__(self, session: Any, **nodes: list[str]) -> None:
        self._session = session
        self._nodes = nodes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def get_provider_graph_assignment_info(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                ep_name=f"{name}ExecutionProvider",
                get_nodes=lambda found=operators: [SimpleNamespace(op_type=op) for op in found],
            )
            for name, operators in self._nodes.items()
        ]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A GPU session that is a CPU one and reports other placements: `gpu(CUDA=["Conv"])`."""

    def place(**nodes: list[str]) -> None:
        def opened(model: Any, provider: str = CPU, **options: Any) -> Any:
            return _Placed(open_session(model), **nodes)

        monkeypatch.setattr("validate.runtime.ort.open_session", opened)

    return place


def test_all_nodes_on_the_gpu(tiny: Artifact, gpu: Callable[..., None]) -> None:
    gpu(CUDA=["Conv", "Conv", "Resize"])
    opened = open_runtime(tiny, "ort-cuda")
    assert (opened.name, opened.provider) == ("ort-cuda", "CUDAExecutionProvider")
    assert opened.execution["nodes"] == {"CUDAExecutionProvider": 3}
    assert opened.execution["tf32"] is False
    assert opened.warnings == ()


def test_light_nodes_on_the_cpu_are_recorded_with_their_share(
    tiny: Artifact, gpu: Callable[..., None]
) -> None:
    gpu(CUDA=["Conv", "Conv"], CPU=["Shape", "Resize", "Resize"])
    opened = open_runtime(tiny, "ort-cuda")
    assert opened.provider == "CUDAExecutionProvider"
    assert opened.execution["nodes"] == {"CUDAExecutionProvider": 2, "CPUExecutionProvider": 3}
    assert opened.warnings == ("3 of 5 nodes not on CUDAExecutionProvider: 2 Resize, 1 Shape",)


def test_convolutions_on_the_cpu_are_a_fallback(tiny: Artifact, gpu: Callable[..., None]) -> None:
    gpu(CUDA=["Conv", "Relu"], CPU=["Conv", "Conv", "Resize"])
    with pytest.raises(RuntimeUnavailableError, match="3 of 5 nodes with 2 Conv, 1 Resize run"):
        open_runtime(tiny, "ort-cuda")
    allowed = open_runtime(tiny, "ort-cuda", allow_fallback=True)
    # what did most of the products is what ran
    assert (allowed.name, allowed.provider) == ("ort-cuda", CPU)
    assert "2 Conv, 1 Resize" in allowed.warnings[0]


def test_what_tensorrt_leaves_to_cuda_is_a_fallback(
    tiny: Artifact, gpu: Callable[..., None]
) -> None:
    gpu(Tensorrt=["Conv", "Conv"], CUDA=["Conv"])
    with pytest.raises(RuntimeUnavailableError, match="1 of 3 nodes with 1 Conv run on CUDA"):
        open_runtime(tiny, "ort-tensorrt")


def test_a_provider_that_fails_while_it_runs_is_an_error(
    tiny: Artifact, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime itself would print it and go on with the CPU."""

    def fail(*args: Any) -> None:
        raise RuntimeError("CUDA failure 2: out of memory\nat cuda_call.cc")

    opened = open_runtime(tiny)
    monkeypatch.setattr("validate.runtime.ort.run", fail)
    with pytest.raises(RuntimeUnavailableError, match="on CPUExecutionProvider: CUDA failure 2"):
        opened.engine.outputs(samples[0].image)


def test_torch_is_a_runtime_of_the_fp32_file(
    tiny: Artifact, int8: Artifact, from_file: Artifact, checkpoint: Path, samples: Samples
) -> None:
    image = samples[0].image
    expected = open_torch(tiny.manifest, None).engine.outputs(image)["logits"]
    for opened in (
        open_runtime(tiny, "torch"),
        open_runtime(from_file, "torch", weights=str(checkpoint)),
    ):
        assert (opened.name, opened.provider) == ("torch", "cpu")
        np.testing.assert_array_equal(opened.engine.outputs(image)["logits"], expected)
    with pytest.raises(UsageError, match=r"torch runs float32 networks.*is int8"):
        open_runtime(int8, "torch")
    with pytest.raises(UsageError, match="with --weights"):
        open_runtime(from_file, "torch")


def test_float16_computed_in_float32_is_said(fp16: Artifact, tiny: Artifact) -> None:
    assert "computes float16 files in float32" in open_runtime(fp16, "ort-cpu").warnings[0]
    assert open_runtime(fp16, "ort-fp16").warnings == open_runtime(tiny).warnings == ()


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


@pytest.mark.slow
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


@pytest.mark.slow
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
