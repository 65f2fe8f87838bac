"""onnxruntime's execution providers: what GPU ones need, and where a session put its nodes."""

import contextlib
import ctypes
import importlib
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import onnxruntime as ort

from export.common.errors import RuntimeUnavailableError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
"""Session setting without which onnxruntime does not keep which provider got which node."""

_WARNING, _SILENT = 2, 4
_CUDA_SUCCESS = 0
_CUDA_PACKAGES = "pip install 'onnxruntime-gpu[cuda,cudnn]' nvidia-cublas"


@dataclass(frozen=True)
class Gpu:
    """A provider that needs an NVIDIA GPU.

    `settings` are onnxruntime's for it, `library` its file beside onnxruntime's own, `install`
    the command that brings what that file needs. Nodes it cannot run go to `then`, and those
    left to the CPU.
    """

    settings: Mapping[str, str]
    library: str
    install: str
    then: tuple[str, ...] = ()


GPUS: dict[str, Gpu] = {
    # TF32 would make fp32 something else than the fp32 that is compared with
    CUDA: Gpu({"use_tf32": "0"}, "libonnxruntime_providers_cuda.so", _CUDA_PACKAGES),
    TENSORRT: Gpu(
        {},
        "libonnxruntime_providers_tensorrt.so",
        f"{_CUDA_PACKAGES} 'tensorrt-cu13<11'",
        then=(CUDA,),
    ),
}


@cache
def cuda_device() -> str | None:
    """Return the name of the first device that the CUDA driver reports, or None."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    failure = (
        driver.cuInit(0) == _CUDA_SUCCESS
        and driver.cuDeviceGet(ctypes.byref(device), 0) == _CUDA_SUCCESS
        and driver.cuDeviceGetName(name, len(name), device) == _CUDA_SUCCESS
    )
    return name.value.decode(errors="replace") if failure else None


def has_cuda() -> bool:
    """Whether onnxruntime has its CUDA provider and the driver reports a device."""
    return CUDA in ort.get_available_providers() and cuda_device() is not None


def prepare(provider: str) -> None:
    """Load what a GPU provider needs; raise RuntimeUnavailableError where it cannot be there."""
    if provider not in ort.get_available_providers():
        raise RuntimeUnavailableError(
            f"this onnxruntime was built without {provider}; pip uninstall onnxruntime, then "
            f"{GPUS[provider].install}"
        )
    if cuda_device() is None:
        raise RuntimeUnavailableError(
            "no CUDA device here (the NVIDIA driver is absent or reports none)"
        )
    if provider == TENSORRT:
        # onnxruntime has no setting for it (microsoft/onnxruntime#26029), the driver reads it once
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
        with contextlib.suppress(ImportError):  # its wheel loads libnvinfer
            importlib.import_module("tensorrt")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it cannot find
        ort.preload_dlls()


def requested(provider: str, settings: Mapping[str, str]) -> list[str | tuple[str, dict[str, str]]]:
    """Return what a session is opened with: the provider and those its leftovers may go to."""
    if provider == CPU:
        return [CPU]
    chain = (provider, *GPUS[provider].then)
    extra = {provider: settings}
    return [(name, {**GPUS[name].settings, **extra.get(name, {})}) for name in chain]


@contextlib.contextmanager
def quiet(provider: str) -> Iterator[None]:
    """Keep onnxruntime from logging what a GPU provider lacks; an error says it in one line."""
    if provider == CPU:
        yield
        return
    ort.set_default_logger_severity(_SILENT)
    try:
        yield
    finally:
        ort.set_default_logger_severity(_WARNING)


def refusal(provider: str, said: str | None = None) -> str:
    """Say why onnxruntime left out a provider it was asked for, and what would help.

    `said` is its own reason, for when the provider's library loads. Call this only after
    onnxruntime itself tried to load that library: before, loading it is not safe.
    """
    gpu = GPUS[provider]
    library = Path(ort.__file__).parent / "capi" / gpu.library
    reason = said or "the device or driver does not suit it"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        reason = f"its library cannot be loaded ({error})"
    return f"{provider} was refused, {reason}; try {gpu.install}"


Placement = dict[str, Counter[str]]
"""Operators by the provider that runs them."""


def placement(session: ort.InferenceSession) -> Placement:
    """Return which provider runs how many nodes of each operator type.

    Empty for sessions opened without `RECORD_PLACEMENT`.
    """
    placed: Placement = {}
    for part in session.get_provider_graph_assignment_info():
        placed.setdefault(part.ep_name, Counter()).update(n.op_type for n in part.get_nodes())
    return placed
