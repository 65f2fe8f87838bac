"""Runtimes whose predictions a test chooses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from validate.runtime.runtimes import Runtime

Outputs = dict[str, NDArray[Any]]


class FakeEngine:
    """Answers the calls one after the other with `answers`, the last of them for ever."""

    def __init__(self, *answers: Outputs, called: Callable[[], None] = lambda: None) -> None:
        self._answers = list(answers)
        self._called = called

    def outputs(self, image: NDArray[np.float32]) -> Outputs:
        self._called()
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def logits_of(classes: Any, count: int) -> Outputs:
    """Logits (1, count, H, W) whose largest is that of the given class of each pixel."""
    wanted = np.asarray(classes, np.uint8)
    one_hot = np.eye(count, dtype=np.float32)[wanted]
    return {"logits": one_hot.transpose(2, 0, 1)[None]}


def fake_runtime(*answers: Outputs) -> Runtime:
    return Runtime("fake", "nowhere", FakeEngine(*answers))


def save_rgb(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def save_mask(path: Path, classes: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(classes, np.uint8)).save(path)
