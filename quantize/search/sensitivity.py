"""What each error of int8 does to the classes, measured where they are nearly tied.

A pixel changes its class when the lead of the first over the second is used up. Errors in that
lead, each measured alone in an otherwise float network, add up by their squares, as rounding errors
are independent; the share of pixels that change is proportional to the root of the sum, as near a
tie all leads are as frequent. What errors have in common on a few images is chance for the most
part: counted too, it foretold less of what DeepLabs lost on others.

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

from export.artifact.sample import Sample
from export.onnx_graph.graph import dims, float_tensors, infer_shapes
from export.ort.sessions import open_session, run, session_options
from quantize.graph.plan import Plan, build
from quantize.search.sources import merged, sources, with_source

NEAR = 4.0
"""A lead is looked at if it's below so many times the root mean square of its error in int8."""
PIXELS = 16384
"""Looked at of each image, evenly spread."""
LATEST = 1.5
"""Times the seconds given, after which errors not yet measured count as the mean of the others."""
STEP = 10
"""Errors from one report to the next."""

Floats = NDArray[np.float32]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Sensitivity:
    """Units of layers, and the mean squares of errors with the units that bring each.

    `holders` are indices of units; an error is there while one of them is in int8. `squares` is
    float64 (errors,).
    """

    units: tuple[tuple[str, ...], ...]
    holders: tuple[frozenset[int], ...]
    squares: NDArray[np.float64]

    def loss(self, floating: NDArray[np.bool_]) -> float:
        """Return what is proportional to the share of pixels that change, with these in float."""
        int8 = set(np.flatnonzero(~floating))
        there = [not held.isdisjoint(int8) for held in self.holders]
        return float(np.sqrt(self.squares[there].sum()))

    def rows(self) -> list[dict[str, Any]]:
        """Return what a manifest records: each error's share (0-1) of the sum, largest first."""
        total = float(self.squares.sum()) or 1.0
        return [
            {
                "layers": [_named(self.units[unit]) for unit in sorted(self.holders[index])],
                "share": float(self.squares[index]) / total,
            }
            for index in np.argsort(-self.squares, kind="stable")
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
        self._classes = [_first_two(logit) for logit in logits]
        leads = [_lead(*pair) for pair in zip(logits, self._classes, strict=True)]
        int8_leads = [
            _lead(*pair) for pair in zip(self._run(quantized, {}), self._classes, strict=True)
        ]
        size = float(np.sqrt(np.mean((np.stack(int8_leads) - np.stack(leads)) ** 2)))
        self._pixels = [_evenly(np.flatnonzero(~(lead >= NEAR * size))) for lead in leads]
        self._leads = self._looked_at(leads)

    def error(self, model: ModelProto, names: dict[str, str]) -> float:
        """Return the mean square of how much the leads differ in `model`.

        `names` are its own of tensors.
        """
        logits = self._run(model, names)
        leads = [_lead(*pair) for pair in zip(logits, self._classes, strict=True)]
        errors = (self._looked_at(leads) - self._leads).astype(np.float64)
        return float(np.mean(errors**2)) if errors.size else 0.0

    def _looked_at(self, leads: Sequence[Floats]) -> Floats:
        return np.concatenate([lead[at] for lead, at in zip(leads, self._pixels, strict=True)])

    def _run(self, model: ModelProto, names: dict[str, str]) -> list[Floats]:
        copy = ModelProto()
        copy.CopyFrom(model)
        del copy.graph.output[:]
        copy.graph.output.append(ValueInfoProto(name=names.get(self._tensor, self._tensor)))
        options = session_options()
        if names:  # weights next to pairs are not to be rounded by onnxruntime, see really_float
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        session = open_session(copy.SerializeToString(), options=options)
        outputs = (np.asarray(run(session, image)[0])[0] for image in self._images)
        return [logits.reshape(len(logits), -1) for logits in outputs]


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
    errors = sources(plan, quantized, parts)
    first = time.monotonic()
    squares = [margins.error(*with_source(plan, errors[0]))]
    now = time.monotonic()
    possible = 1 + (seconds - (now - begun)) / (now - first)
    if possible < len(errors):
        parts = merged(parts, int(len(parts) * possible / len(errors)))
        errors = sources(plan, quantized, parts)
        squares = []
    for source in errors[len(squares) :]:
        if squares and time.monotonic() - begun > LATEST * seconds:
            break
        squares.append(margins.error(*with_source(plan, source)))
        if len(squares) % STEP == 0 or len(squares) == len(errors):
            report(f"ranking: {len(squares)} of {len(errors)} errors of int8 measured")
    unknown = [float(np.mean(squares))] * (len(errors) - len(squares))
    holders = tuple(source.holders for source in errors)
    return Sensitivity(tuple(parts), holders, np.array([*squares, *unknown]))


def _first_two(logits: Floats) -> NDArray[np.intp]:
    """Return the classes of the largest and second largest of (classes, pixels) as (2, pixels)."""
    if len(logits) == 1:
        return np.zeros((1, logits.shape[1]), np.intp)
    top = np.argpartition(-logits, 1, axis=0)[:2]
    values = np.take_along_axis(logits, top, axis=0)
    return np.where(values[0] >= values[1], top, top[::-1])


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
