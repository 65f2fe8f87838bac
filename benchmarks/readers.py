"""Calibration images as onnxruntime's quantizer asks for them."""

from collections.abc import Sequence
from typing import Any

from onnxruntime.quantization import CalibrationDataReader

from export.artifact import INPUT_NAME, Sample


class Reader(CalibrationDataReader):
    """One image after the other, by input name."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = iter(samples)

    def get_next(self) -> Any:
        """Return the next image by input name, None after the last."""
        sample = next(self._samples, None)
        return sample and {INPUT_NAME: sample.image}
