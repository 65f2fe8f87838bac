"""Apply the rewrites that were chosen, check each, and list what they did."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from onnx import ModelProto

from export.artifact.artifact import Artifact
from export.artifact.facts import RewriteFacts
from export.artifact.manifest import InputSpec
from export.artifact.sample import Sample
from export.common.errors import QuantizeError
from export.common.progress import Progress
from export.onnx_graph.graph import dims, infer_shapes
from export.ort.parity import measure_parity
from export.ort.sessions import named_outputs, open_session
from quantize.calibration.cache import collect_cached
from quantize.calibration.channel_statistics import ChannelMinMax
from quantize.calibration.measurement import Measurement
from quantize.ranges.ranges import Range
from quantize.rewrites.change import Rescaled, Seen
from quantize.rewrites.table import REWRITES

_CHECKED_IMAGES = 2


@dataclass(frozen=True)
class Step:
    """One rewrite: what it did, and how far the logits moved (largest difference, argmax)."""

    rewrite: str
    summary: str
    max_abs_diff: float | None
    argmax_agreement: float

    def facts(self) -> RewriteFacts:
        """Return what a manifest records."""
        return {
            "rewrite": self.rewrite,
            "summary": self.summary,
            "max_abs_diff": self.max_abs_diff,
            "argmax_agreement": self.argmax_agreement,
        }


@dataclass(frozen=True)
class Prepared:
    """The rewritten network, the steps that led there, and how its tensors changed.

    `kept_float` are new layers that stay in float, `ranges` those of new tensors that are known,
    `reweighted` the layers whose weights are others without a tensor's being rescaled.
    """

    model: ModelProto
    steps: tuple[Step, ...] = ()
    rescaled: dict[str, Rescaled] = field(default_factory=dict)
    kept_float: frozenset[str] = frozenset()
    ranges: dict[str, Range] = field(default_factory=dict)
    reweighted: frozenset[str] = frozenset()


class Rewriting:
    """Those of `methods` that are rewrites, and what they need to know of a float network's
    channels.

    `model` has inferred shapes.
    """

    def __init__(self, model: ModelProto, methods: Collection[str]) -> None:
        self._model = model
        self._names = [name for name in REWRITES if name in methods]
        self._needed = {name: REWRITES[name].needs(model) for name in self._names}
        tensors = sorted(set().union(*self._needed.values()))
        self._seen = {tensor: ChannelMinMax() for tensor in tensors}

    def statistics(
        self, artifact: Artifact, samples: Sequence[Sample], progress: Progress
    ) -> Measurement | None:
        """Return what is to be collected on all `samples`; None if nothing.

        Where a few of them are enough these are measured at once.
        """
        if not self._seen:
            return None
        measurement = Measurement(
            self._model, {name: [extremes] for name, extremes in self._seen.items()}
        )
        enough = self._enough()
        if enough is None or enough >= len(samples):
            return measurement
        collect_cached([measurement], artifact, samples[:enough], progress=progress)
        return None

    def apply(self, samples: Sequence[Sample], spec: InputSpec) -> Prepared:
        """Apply the rewrites, check each on the first of `samples`. Raises as `prepare` does."""
        count = min(_CHECKED_IMAGES, len(samples)) if self._names else 0
        checked = [samples[i] for i in range(count)]
        return prepare(self._model, self._names, self._seen, checked, spec)

    def _enough(self) -> int | None:
        """Return how many images the rewrites need; None for all."""
        counts = [REWRITES[name].images for name, tensors in self._needed.items() if tensors]
        return None if None in counts else max(count for count in counts if count is not None)


def prepare(
    model: ModelProto,
    names: Collection[str],
    seen: Seen,
    samples: Sequence[Sample],
    spec: InputSpec | None = None,
) -> Prepared:
    """Apply the rewrites in `names` to a float network with inferred shapes.

    `seen` holds the extremes of each channel on calibration images; `spec` is the input that pixels
    are made to. Each rewrite is checked on `samples`: raises QuantizeError naming it when classes
    or logits change beyond the limits of `export.ort.parity`.
    """
    prepared = Prepared(model)
    for name in [name for name in REWRITES if name in names]:
        rewrite = REWRITES[name]
        if rewrite.of_input and not _are_pixels(samples, spec):
            step = Step(name, "left out: images hold values that no pixel has", 0.0, 100.0)
            prepared = replace(prepared, steps=(*prepared.steps, step))
            continue
        known = spec if rewrite.of_input else _now(seen, prepared.rescaled)
        change = rewrite.apply(prepared.model, known)
        if change.model.graph == prepared.model.graph:
            if not rewrite.silent:
                step = Step(name, change.summary, 0.0, 100.0)
                prepared = replace(prepared, steps=(*prepared.steps, step))
            continue
        rewritten = infer_shapes(change.model)
        step = _checked(name, change.summary, model, rewritten, samples)
        prepared = Prepared(
            rewritten,
            (*prepared.steps, step),
            _chained(prepared.rescaled, change.rescaled),
            prepared.kept_float | change.kept_float,
            prepared.ranges | change.ranges,
            prepared.reweighted | change.reweighted,
        )
    return prepared


def _are_pixels(samples: Sequence[Sample], spec: InputSpec | None) -> bool:
    """Whether images hold nothing but what normalization makes of values from 0 to 255."""
    if spec is None:
        return False
    mean, std = (np.reshape(values, (1, -1, 1, 1)) for values in (spec.mean, spec.std))
    low, high = -mean / std, (1 - mean) / std
    slack = 0.5 / 255 / np.abs(std)
    return all(
        bool(((low - slack <= sample.image) & (sample.image <= high + slack)).all())
        for sample in samples
    )


def _now(seen: Seen, rescaled: dict[str, Rescaled]) -> Seen:
    """Return the extremes as the rewrites so far have changed them."""
    current = dict(seen)
    for name, change in rescaled.items():
        if name in seen:
            current[name] = ChannelMinMax()
            current[name].low = ((seen[name].low - change.offset) / change.factor).astype(
                np.float32
            )
            current[name].high = ((seen[name].high - change.offset) / change.factor).astype(
                np.float32
            )
    return current


def _chained(before: dict[str, Rescaled], after: dict[str, Rescaled]) -> dict[str, Rescaled]:
    joined = dict(before)
    for name, change in after.items():
        if name in before:
            first = before[name]
            change = Rescaled(
                first.factor * change.factor, first.factor * change.offset + first.offset
            )
        joined[name] = change
    return joined


def _checked(
    name: str, summary: str, original: ModelProto, rewritten: ModelProto, samples: Sequence[Sample]
) -> Step:
    if original == rewritten:
        return Step(name, summary, 0.0, 100.0)
    one, other = (open_session(m.SerializeToString()) for m in (original, rewritten))
    batch = dims(original.graph.input[0])[0] or 1
    images = [np.repeat(sample.image, batch, axis=0) for sample in samples]
    parity = measure_parity([(named_outputs(one, i), named_outputs(other, i)) for i in images])
    if parity.problem:
        raise QuantizeError(
            f"rewrite {name} changed the network ({parity.problem}); "
            f"leave it out with --skip {name}"
        )
    return Step(name, summary, parity.max_abs_diff, parity.argmax_agreement)
