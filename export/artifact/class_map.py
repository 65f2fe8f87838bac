"""From logits to the class of every pixel."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def class_map(logits: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the index of the largest logit per pixel; the lowest index wins a tie.

    `logits` (N, C, H, W) float with C <= 255; returns uint8 (N, H, W). NaN never wins against a
    number.
    """
    return largest(logits[:, index] for index in range(logits.shape[1]))


def classes_of(output: NDArray[Any]) -> NDArray[Any]:
    """Return the class of every pixel (N, H, W), of logits (N, C, H, W) or of such a mask."""
    return class_map(output) if output.ndim == 4 else output


def largest(planes: Iterable[NDArray[np.floating]]) -> NDArray[np.uint8]:
    """Return the index of the largest of up to 255 `planes` of one shape, for each element.

    A running maximum, many times faster than numpy's argmax over a strided axis; no more than
    one plane has to be there at a time.
    """
    remaining = iter(planes)
    best = np.array(next(remaining))
    best[np.isnan(best)] = -np.inf
    classes = np.zeros(best.shape, np.uint8)
    larger = np.empty(best.shape, np.bool_)
    winner = larger.view(np.uint8)
    for index, plane in enumerate(remaining, start=1):
        np.greater(plane, best, out=larger)
        # indices only grow, so a maximum puts them in place: twice as fast as a masked copy
        np.multiply(winner, np.uint8(index), out=winner)
        np.maximum(classes, winner, out=classes)
        np.fmax(best, plane, out=best)
    return classes
