"""ONNX Runtime sessions and the facts of the machine they run on."""

import ctypes
import os
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime as ort

from export.errors import ArtifactError, RuntimeUnavailableError, first_line

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_ISA = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_fp16", "amx_int8", "asimd", "i8mm")


def threads() -> int:
    """Return the CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def cpu_facts() -> dict[str, Any]:
    """Return CPU name, machine type, usable cores and the instruction sets that matter."""
    name, flags = platform.processor() or platform.machine(), set[str]()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() in ("flags", "Features"):
            flags |= set(value.split())
    return {
        "cpu": name,
        "machine": platform.machine(),
        "threads": threads(),
        "isa": [flag for flag in _ISA if flag in flags],
    }


def lacks_vnni() -> bool:
    """Whether this is an x86 CPU whose u8 x s8 products saturate at 16 bits."""
    facts = cpu_facts()
    x86 = facts["machine"].lower() in ("x86_64", "amd64")
    return x86 and not {"avx512_vnni", "avx_vnni"} & set(facts["isa"])


@cache
def has_cuda() -> bool:
    """Whether onnxruntime has its CUDA provider and the driver reports a device."""
    if CUDA not in ort.get_available_providers():
        return False
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    initialised = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return initialised and count.value > 0


def session_options() -> ort.SessionOptions:
    """Return the options every session uses: full optimization, all cores, no idle spinning."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions; the log would repeat them
    options.intra_op_num_threads = threads()
    # Several sessions take turns; threads of the idle ones must not burn the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if lacks_vnni():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def open_session(
    model: Path | bytes, provider: str = CPU, options: ort.SessionOptions | None = None
) -> ort.InferenceSession:
    """Open a session on exactly `provider`.

    Raises RuntimeUnavailableError when the provider is not there or silently fell back, and
    ArtifactError when onnxruntime cannot load the model.
    """
    if provider == CUDA:
        if not has_cuda():
            raise RuntimeUnavailableError(
                "ort-cuda: no CUDA device or no CUDA build of onnxruntime here; "
                "use --runtime ort-cpu"
            )
        ort.preload_dlls()
    source = str(model) if isinstance(model, Path) else model
    # TF32 would make fp32 on CUDA something else than the fp32 that is compared with
    wanted = (CUDA, {"use_tf32": "0"}) if provider == CUDA else provider
    try:
        session = ort.InferenceSession(source, options or session_options(), providers=[wanted])
    except Exception as error:  # onnxruntime raises classes of its C++ side
        where = model if isinstance(model, Path) else "model"
        raise ArtifactError(f"{where}: onnxruntime cannot load it ({first_line(error)})") from error
    if session.get_providers()[0] != provider:
        raise RuntimeUnavailableError(
            f"{provider} fell back to {session.get_providers()[0]}; use --runtime ort-cpu"
        )
    return session


def named_outputs(session: ort.InferenceSession, image: Any) -> dict[str, Any]:
    """Run one image tensor through a session; return all outputs by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, run(session, image), strict=True))


def run(session: ort.InferenceSession, image: Any, outputs: Sequence[str] | None = None) -> Any:
    """Run one image tensor through a session; return the list of output arrays."""
    return session.run(outputs, {session.get_inputs()[0].name: image})
