"""Run a third-party file where it can do no harm: in a process of its own, within limits."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from export.common.child import ChildLimits, EndedEarlyError, call_within
from export.common.errors import ArtifactError, SegportError, first_line
from export.onnx_graph.graph import infer_shapes, nodes_within
from export.onnx_graph.onnx_file import parse_model, tidied
from export.ort.sessions import open_session

MAX_INPUT = 1 << 30
"""Bytes of an input; more is a mistake in the file, or an attack."""
_BASE = 6 << 30
"""Memory for onnxruntime's threads and for what small networks compute."""
_PER_INPUT, _PER_WEIGHT = 300, 8
"""Bytes of activations per byte of input, and of copies per byte of weights."""
_SECONDS, _SECONDS_LOOPING = 300.0, 20.0
"""What a network may take; a loop need never end, and no segmentation network needs long ones."""

Arrays = dict[str, NDArray[Any]]


def run_safely(file: Path, model: ModelProto, feeds: Sequence[Arrays]) -> list[Arrays]:
    """Return all outputs of the file for each of `feeds` (one array by the input's name).

    `model` is the file, parsed. It runs untouched, or tidied where onnxruntime refuses that. Raises
    ArtifactError, which names the file, for whatever it does: fail, crash, hang, ask for too much.
    """
    size = max(array.nbytes for feed in feeds for array in feed.values())
    memory = _BASE + _PER_INPUT * size + _PER_WEIGHT * model.ByteSize()
    looping = any(node.op_type in ("Loop", "Scan") for node in nodes_within(model.graph))
    limits = ChildLimits(_SECONDS_LOOPING if looping else _SECONDS, min(memory, _free_memory()))
    try:
        outputs: list[Arrays] = call_within(
            limits, "export.foreign.probing:run_all", file, list(feeds)
        )
    except SegportError as error:
        if isinstance(error, EndedEarlyError):
            raise ArtifactError(f"{file}: cannot be run ({error})") from error
        raise
    except Exception as error:  # onnxruntime and onnx raise what the file provokes
        raise ArtifactError(f"{file}: cannot be run ({first_line(error)})") from error
    return outputs


def run_all(file: Path, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> list[Arrays]:
    """Do what the caller will do with the file, too: tidy it and infer its shapes."""
    wide = tidied(file, parse_model(file))
    infer_shapes(wide, data_prop=True)
    try:
        session = open_session(file)
    except ArtifactError:  # names that are there twice, or a type that the CPU lacks
        session = open_session(wide.SerializeToString(), name=str(file))
        feeds = [{name: _single(array) for name, array in feed.items()} for feed in feeds]
    names = [output.name for output in session.get_outputs()]
    outputs = []
    for feed in feeds:
        arrays = session.run(names, dict(feed))
        outputs.append({n: np.asarray(a) for n, a in zip(names, arrays, strict=True)})
    return outputs


def _single(array: NDArray[Any]) -> NDArray[Any]:
    """Return what the tidied file takes instead of another float: float32; of others, itself."""
    return array if array.dtype == np.uint8 else array.astype(np.float32)


def _free_memory() -> int:
    """Return most of the bytes that are there, so that this process keeps some."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 8 // 10
    except (AttributeError, OSError, ValueError):
        return 1 << 40
