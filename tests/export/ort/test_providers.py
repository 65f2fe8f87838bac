"""GPU providers, as far as a machine without a GPU lets them come."""

import os
import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper

from export.common.errors import RuntimeUnavailableError
from export.ort import providers
from export.ort.sessions import open_session, run, session_options
from tests.export.build import image, model, value, weight


@pytest.fixture(scope="module")
def graph() -> ModelProto:
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="c")
    relu = helper.make_node("Relu", ["y"], ["z"], name="r")
    return model(
        [node, relu],
        [value("x", (1, 3, 4, 4))],
        [value("z", (1, 2, 4, 4))],
        [weight("w", 2, 3, 1, 1)],
    )


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that reports a device, which onnxruntime then cannot use."""
    if providers.has_cuda():
        pytest.skip("CUDA works here")
    monkeypatch.setattr(providers, "cuda_device", lambda: "a GPU")


@pytest.mark.parametrize("provider", [providers.CUDA, providers.TENSORRT])
def test_without_a_device_nothing_is_tried(
    graph: ModelProto, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "cuda_device", lambda: None)
    with pytest.raises(RuntimeUnavailableError, match="no CUDA device here"):
        open_session(graph.SerializeToString(), provider)


def test_a_build_without_the_provider_names_the_one_that_has_it(
    graph: ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [providers.CPU])
    assert not providers.has_cuda()
    with pytest.raises(RuntimeUnavailableError, match="built without CUDAExecutionProvider") as e:
        open_session(graph.SerializeToString(), providers.CUDA)
    assert "onnxruntime-gpu[cuda,cudnn]" in str(e.value)


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(
    ("provider", "package"),
    [(providers.CUDA, "onnxruntime-gpu[cuda,cudnn]"), (providers.TENSORRT, "tensorrt-cu13")],
)
def test_a_library_that_does_not_load_is_an_error_and_prints_nothing(
    graph: ModelProto, provider: str, package: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """onnxruntime itself logs six lines, prints four more and runs on the CPU."""
    if provider not in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime was built without it")
    with pytest.raises(RuntimeUnavailableError) as caught:
        open_session(graph.SerializeToString(), provider)
    message = str(caught.value)
    assert ".so" in message and package in message and "\n" not in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("device")
def test_a_session_that_silently_fell_back_is_an_error(
    graph: ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = open_session(graph.SerializeToString())
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **options: plain)
    with pytest.raises(RuntimeUnavailableError, match="CUDAExecutionProvider was refused"):
        open_session(graph.SerializeToString(), providers.CUDA)


def test_what_a_session_is_asked_for() -> None:
    assert providers.requested(providers.CPU, {}) == [providers.CPU]
    assert providers.requested(providers.CUDA, {}) == [(providers.CUDA, {"use_tf32": "0"})]
    assert providers.requested(providers.TENSORRT, {"trt_fp16_enable": "1"}) == [
        (providers.TENSORRT, {"trt_fp16_enable": "1"}),
        (providers.CUDA, {"use_tf32": "0"}),
    ]


def test_tensorrt_computes_float32_in_float32(
    device: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if providers.TENSORRT not in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime was built without it")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # not importable
    providers.prepare(providers.TENSORRT)
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"


def test_placement_is_what_onnxruntime_recorded(graph: ModelProto) -> None:
    options = session_options()
    options.add_session_config_entry(providers.RECORD_PLACEMENT, "1")
    session = open_session(graph.SerializeToString(), options=options)
    assert providers.placement(session) == {providers.CPU: {"Conv": 1, "Relu": 1}}
    assert run(session, image(1, 3, 4, 4))[0].dtype == np.float32


def test_placement_adds_up_the_parts_of_a_provider() -> None:
    def part(name: str, *operators: str) -> SimpleNamespace:
        nodes = [SimpleNamespace(op_type=op) for op in operators]
        return SimpleNamespace(ep_name=name, get_nodes=lambda: nodes)

    parts = [part("A", "Conv", "Relu"), part("B", "Resize"), part("A", "Conv")]
    session = SimpleNamespace(get_provider_graph_assignment_info=lambda: parts)
    assert providers.placement(session) == {"A": {"Conv": 2, "Relu": 1}, "B": {"Resize": 1}}
