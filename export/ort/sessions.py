"""ONNX Runtime sessions and the facts of the machine they run on."""

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime as ort

from export.common.errors import ArtifactError, RuntimeUnavailableError, first_line
from export.ort.providers import CPU as CPU
from export.ort.providers import RECORD_PLACEMENT, prepare, quiet, refusal, requested

_ISA = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_fp16", "amx_int8", "asimd", "i8mm")


_few: list[int] = []
"""What `few_threads` asks for, the innermost last."""


def threads() -> int:
    """Return the CPU cores this process may use, or fewer where `few_threads` says so."""
    if _few:
        return _few[-1]
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def few_threads(count: int) -> Iterator[None]:
    """Let what is opened in this block work with `count` threads, torch as long as it lasts."""
    _few.append(count)
    try:
        yield
    finally:
        _few.pop()
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(threads())


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


class UnnamedModelError(ArtifactError):
    """onnxruntime refuses a model in memory; the message does not say which."""


def open_session(
    model: Path | bytes,
    provider: str = CPU,
    options: ort.SessionOptions | None = None,
    settings: Mapping[str, str] | None = None,
    name: str | None = None,
) -> ort.InferenceSession:
    """Open a session on `provider`, with `settings` beside those that it always gets.

    Errors call a model that is no file `name`; without it they are an UnnamedModelError, which
    whoever knows the file turns into one that names it.

    Raises RuntimeUnavailableError when the provider is not there, refuses the model or silently
    fell back, and ArtifactError when onnxruntime cannot load the model. A session on a GPU
    records where its nodes were placed.
    """
    source = str(model) if isinstance(model, Path) else model
    options = options or session_options()
    if provider != CPU:
        prepare(provider)
        options.add_session_config_entry(RECORD_PLACEMENT, "1")
    try:
        with quiet(provider):
            session = ort.InferenceSession(
                source, options, providers=requested(provider, settings or {}), enable_fallback=0
            )
    except Exception as error:  # onnxruntime raises classes of its C++ side
        if provider != CPU:
            raise RuntimeUnavailableError(refusal(provider, first_line(error))) from error
        reason = f"onnxruntime cannot load it ({first_line(error)})"
        where = model if isinstance(model, Path) else name
        if where is None:
            raise UnnamedModelError(reason) from error
        raise ArtifactError(f"{where}: {reason}") from error
    if session.get_providers()[0] != provider:
        raise RuntimeUnavailableError(refusal(provider))
    return session


def named_outputs(session: ort.InferenceSession, image: Any) -> dict[str, Any]:
    """Run one image tensor through a session; return all outputs by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, run(session, image), strict=True))


def run(session: ort.InferenceSession, image: Any, outputs: Sequence[str] | None = None) -> Any:
    """Run one image tensor through a session; return the list of output arrays."""
    return session.run(outputs, {session.get_inputs()[0].name: image})
