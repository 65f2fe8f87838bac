"""The call of torch's exporter, and nothing after it."""

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import ModelProto
from torch import nn

from export.artifact.manifest import INPUT_NAME
from export.artifact.size import MIN_SIZE, NOMINAL_SIZE
from export.common.errors import ExportError, first_line
from export.common.files import scratch_folder

OPSET = 18


def trace(
    network: nn.Module,
    size: tuple[int, int] | None,
    batch: int | None,
    model: str,
    outputs: Sequence[str],
) -> ModelProto:
    """Return what torch's exporter makes of a network that takes (N, 3, H, W) and gives `outputs`.

    `size` (height, width) or `batch` None leaves that free. Raises ExportError, which calls the
    network `model`, for what the exporter cannot do.
    """
    height, width = size or NOMINAL_SIZE
    # torch.export would take a dimension of 1 for a constant, so free batches are traced at 2.
    image = torch.zeros(batch or 2, 3, height, width)
    dynamic: dict[int, Any] = {}
    if batch is None:
        dynamic[0] = torch.export.Dim("batch", min=1)
    if size is None:
        dynamic[2] = torch.export.Dim("height", min=MIN_SIZE)
        dynamic[3] = torch.export.Dim("width", min=MIN_SIZE)
    with scratch_folder() as scratch, _quiet():
        path = Path(scratch, "raw.onnx")
        try:
            program = torch.onnx.export(
                network,
                (image,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT_NAME],
                output_names=list(outputs),
                dynamic_shapes=({**dynamic},) if dynamic else None,
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # the exporter wraps whatever the network's code provokes
            reason = first_line(error.__cause__ or error)
            raise ExportError(
                f"{model}: torch.onnx cannot export it ({type(error).__name__}: {reason})"
            ) from error
        assert program is not None  # only the old exporter returns nothing
        program.save(str(path), external_data=False)
        for value in program.model.graph.initializers.values():
            value.const_value = None  # onnxscript's rewrite rules keep the graph
        return onnx.load(path)


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep the exporter's progress lines and library warnings off the user's terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
