"""Run a .tflite in LiteRT's interpreter."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from export.common.errors import ExportError, RuntimeUnavailableError, first_line
from export.ort.sessions import threads
from segport.conversion.litert.layout import TO_NCHW, TO_NHWC
from segport.conversion.runner import Runner


def open_litert(content: bytes) -> Runner:
    """Return what runs a .tflite.

    Raises RuntimeUnavailableError without ai-edge-litert, ExportError for what it cannot run.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"litert: not usable here ({first_line(error)}); pip install 'segport[litert]'"
        ) from error
    try:
        with _silence():
            interpreter = Interpreter(model_content=content, num_threads=threads())
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"LiteRT cannot run what was written ({first_line(error)})") from error
    source = interpreter.get_input_details()[0]["index"]
    results = [one["index"] for one in interpreter.get_output_details()]

    def run(image: NDArray[np.float32]) -> list[NDArray[np.generic]]:
        interpreter.set_tensor(source, np.ascontiguousarray(image.transpose(TO_NHWC)))
        interpreter.invoke()
        found = [interpreter.get_tensor(index) for index in results]
        return [one.transpose(TO_NCHW) if one.ndim == 4 else one for one in found]

    return run


@contextmanager
def _silence() -> Iterator[None]:
    """Keep off the terminal what LiteRT's C++ side says of its kernels."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
