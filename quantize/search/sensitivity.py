"""What each error of int8 does to the classes, measured where they are nearly tied.

A pixel changes its class when the lead of the first over the second is used up. To first order
the errors in that lead add up, so that their second moments, once measured with one error at a
time in an otherwise float network, tell of any set of errors how large theirs is. The share of
pixels that change is proportional to the root of it, as near a tie all leads are as frequent.

Alone in a float network an error is seen without the others'. Taking it out of the int8 network
instead would show less: everything behind it is then rounded differently too.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto

from export.artifact import Sample
from export.graph import dims, float_tensors, infer_shapes
from export.sessions import open_session, run
from quantize.plan import Plan, build
from quantize.search.sources import merged, sources, with_source

NEAR = 4.0
"""A lead is looked at if it's below so many times the root mean square of its error in int8."""
PIXELS = 16384
"""Looked at of each image, evenly spread."""
COMMON = 0.5
"""Part of what two errors have in common that counts. On few images some of it is chance: all of
it says too much (ESPNetv2: 2.8 times the error that int8 has), none of it misses what adds up."""

LATEST = 1.5
"""Times the seconds given, after which what is not measured by then is guessed."""
STEP = 10
"""Errors from one report to the next."""

Floats = NDArray[np.float32]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Sensitivity:
    """Units of layers, the errors by the units that bring them, and their second moments.

    `holders` has the units for each error; `moments` is float64 (errors, errors).
    """

    units: tuple[tuple[str, ...], ...]
    holders: tuple[frozenset[int], ...]
    moments: NDArray[np.float64]

    def loss(self, floating: NDArray[np.bool_]) -> float:
        """Return what is proportional to the share of pixels that change, with these in float."""
        int8 = set(np.flatnonzero(~floating))
        there = np.array([not held.isdisjoint(int8) for held in self.holders])
        return float(np.sqrt(max(0.0, self.moments[np.ix_(there, there)].sum())))

    def rows(self) -> list[dict[str, Any]]:
        """Return what a manifest records: each error's share (0-1) of the sum, largest first."""
        own = np.diag(self.moments)
        total = float(own.sum()) or 1.0
        return [
            {
                "layers": [_named(self.units[unit]) for unit in sorted(self.holders[index])],
                "share": float(own[index]) / total,
            }
            for index in np.argsort(-own, kind="stable")
        ]


def _named(layers: Sequence[str]) -> str:
    return layers[0] if len(layers) == 1 else f"{layers[0]} ... {layers[-1]}"


class Margins:
    """The lead of the first class over the second at pixels where it is small.

    `quantized` says how small.
    """

    def __init__(self, fp32: ModelProto, quantized: ModelProto, samples: Sequence[Sample]) -> None:
        batch = dims(fp32.graph.input[0])[0] or 1
        self._images = [np.repeat(sample.image, batch, axis=0) for sample in samples]
        self._tensor = _logits(fp32)
        logits = self._run(fp32, {})
        self._classes = [_first_two(one) for one in logits]
        leads = [_lead(*pair) for pair in zip(logits, self._classes, strict=True)]
        found = [_lead(*pair) for pair in zip(self._run(quantized, {}), self._classes, strict=True)]
        size = float(np.sqrt(np.mean((np.stack(found) - np.stack(leads)) ** 2)))
        self._pixels = [_evenly(np.flatnonzero(~(one >= NEAR * size))) for one in leads]
        self._leads = self._looked_at(leads)

    def errors(self, model: ModelProto, names: dict[str, str]) -> Floats:
        """Return by how much each lead differs in `model`, float32 (pixels,).

        `names` are its own of tensors.
        """
        found = self._run(model, names)
        leads = [_lead(*pair) for pair in zip(found, self._classes, strict=True)]
        return self._looked_at(leads) - self._leads

    def _looked_at(self, leads: Sequence[Floats]) -> Floats:
        return np.concatenate([one[at] for one, at in zip(leads, self._pixels, strict=True)])

    def _run(self, model: ModelProto, names: dict[str, str]) -> list[Floats]:
        copy = ModelProto()
        copy.CopyFrom(model)
        del copy.graph.output[:]
        copy.graph.output.append(ValueInfoProto(name=names.get(self._tensor, self._tensor)))
        session = open_session(copy.SerializeToString())
        found = (np.asarray(run(session, image)[0])[0] for image in self._images)
        return [logits.reshape(len(logits), -1) for logits in found]


def measure(
    plan: Plan,
    parts: Sequence[tuple[str, ...]],
    samples: Sequence[Sample],
    seconds: float,
    report: Report,
) -> Sensitivity:
    """Measure every error alone on all `samples`, in about so many `seconds`.

    Where time is too short for all `parts`, neighbours are joined.
    """
    begun = time.monotonic()
    quantized = build(plan)
    margins = Margins(plan.model, quantized, samples)
    found = sources(plan, quantized, parts)
    first = time.monotonic()
    rows = [margins.errors(*with_source(plan, found[0]))]
    now = time.monotonic()
    possible = 1 + (seconds - (now - begun)) / (now - first)
    if possible < len(found):
        parts = merged(parts, int(len(parts) * possible / len(found)))
        found = sources(plan, quantized, parts)
        rows = []
    for source in found[len(rows) :]:
        if rows and time.monotonic() - begun > LATEST * seconds:
            break
        rows.append(margins.errors(*with_source(plan, source)))
        if len(rows) % STEP == 0 or len(rows) == len(found):
            report(f"ranking: {len(rows)} of {len(found)} errors of int8 measured")
    holders = tuple(source.holders for source in found)
    return Sensitivity(tuple(parts), holders, _moments(rows, len(found)))


def _moments(rows: Sequence[Floats], count: int) -> NDArray[np.float64]:
    """Return second moments; errors that were not measured have the mean of the others."""
    errors = np.stack(rows).astype(np.float64)
    products = errors @ errors.T / max(1, errors.shape[1])
    own = np.diag(products)
    moments = np.diag(np.full(count, own.mean()))
    moments[: len(own), : len(own)] = COMMON * products + (1 - COMMON) * np.diag(own)
    return moments


def _first_two(logits: Floats) -> NDArray[np.intp]:
    """Return the classes of the largest and second largest of (classes, pixels) as (2, pixels)."""
    if len(logits) == 1:
        return np.zeros((1, logits.shape[1]), np.intp)
    found = np.argpartition(-logits, 1, axis=0)[:2]
    values = np.take_along_axis(logits, found, axis=0)
    return np.where(values[0] >= values[1], found, found[::-1])


def _lead(logits: Floats, classes: NDArray[np.intp]) -> Floats:
    values = np.take_along_axis(logits, classes, axis=0)
    return np.asarray(values[0] - values[1] if len(values) > 1 else values[0], np.float32)


def _evenly(pixels: NDArray[np.intp]) -> NDArray[np.intp]:
    count = min(PIXELS, len(pixels))
    return pixels[len(pixels) * np.arange(count) // max(1, count)]


def _logits(model: ModelProto) -> str:
    """Return the first output, or the float tensor that an argmax makes it from."""
    floats = float_tensors(infer_shapes(model))
    producers = {name: node for node in model.graph.node for name in node.output}
    name = str(model.graph.output[0].name)
    while name not in floats:
        name = producers[name].input[0]
    return name
