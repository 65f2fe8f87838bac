"""What runs a converted file."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Runner = Callable[[NDArray[np.float32]], list[NDArray[np.generic]]]
"""Runs an image, float32 (N, C, H, W), and returns the outputs in ONNX's order of axes."""
