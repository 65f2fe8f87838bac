"""Apply the rewrites that were chosen, check each, and list what they did."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from onnx import ModelProto

from export.artifact.artifact import Artifact, Sample
from export.common.errors import QuantizeError
from export.onnx_graph.graph import dims, infer_shapes
from export.ort.parity import measure_parity
from export.ort.sessions import named_outputs, open_session
from quantize.calibration.cache import collect_cached
from quantize.calibration.calibration import Progress
from quantize.calibration.channel_statistics import ChannelMinMax
from quantize.calibration.measurement import Measurement, Steps
from quantize.rewrites.bias_absorption import absorb_high_bias
from quantize.rewrites.change import Rescaled, Rewrite, Seen, inputs_of, nothing
from quantize.rewrites.dead_channels import repair_dead_channels, suspicious_inputs
from quantize.rewrites.equalization import equalize
from quantize.rewrites.gelu import order_gelu
from quantize.rewrites.hard_sigmoid import write_out_hard_sigmoid
from quantize.rewrites.pooling import simplify_pooling
from quantize.rewrites.prelu import write_out_prelu
from quantize.rewrites.sub_pixel_conv import sub_pixel_conv
from quantize.rewrites.upsampled_conv import convolve_before_resize

REWRITES: dict[str, Rewrite] = {
    "simplify-pooling": Rewrite(nothing, simplify_pooling, silent=True),
    "sub-pixel-conv": Rewrite(nothing, sub_pixel_conv, silent=True),
    "gelu": Rewrite(nothing, order_gelu, silent=True),
    "repair-dead-channels": Rewrite(suspicious_inputs, repair_dead_channels, images=4),
    "equalize": Rewrite(inputs_of("Clip", "Conv"), equalize),
    "absorb-bias": Rewrite(inputs_of("Relu", "Clip"), absorb_high_bias),
    "convolve-before-resize": Rewrite(nothing, convolve_before_resize),
    # behind those that look at a Clip's channels: its own Clips were not there when these were seen
    "hard-sigmoid": Rewrite(nothing, write_out_hard_sigmoid, silent=True),
    "write-out-prelu": Rewrite(nothing, write_out_prelu, silent=True),
}
"""In the order they are applied."""

_CHECKED_IMAGES = 2


@dataclass(frozen=True)
class Step:
    """One rewrite: what it did, and how far the logits moved (largest difference, argmax)."""

    rewrite: str
    summary: str
    max_abs_diff: float | None
    argmax_agreement: float


@dataclass(frozen=True)
class Prepared:
    """The rewritten network, the steps that led there, and how its tensors changed.

    `kept_float` are new layers that stay in float.
    """

    model: ModelProto
    steps: tuple[Step, ...] = ()
    rescaled: dict[str, Rescaled] = field(default_factory=dict)
    kept_float: frozenset[str] = frozenset()


def prepare_for(
    artifact: Artifact,
    model: ModelProto,
    methods: Collection[str],
    samples: Sequence[Sample],
    *,
    progress: Progress,
) -> Steps[Prepared]:
    """Apply those of `methods` that are rewrites to an artifact's `model`.

    What they need to know of channels is collected first, from as few of the calibration images
    as are enough for them. Raises as `prepare` does.
    """
    names = [name for name in REWRITES if name in methods]
    needed = {name: REWRITES[name].needs(model) for name in names}
    seen = {tensor: ChannelMinMax() for tensor in sorted(set().union(*needed.values()))}
    if seen:
        enough = [REWRITES[name].images for name in names if needed[name]]
        limits = [count for count in enough if count is not None]
        measurement = Measurement(model, {tensor: [one] for tensor, one in seen.items()})
        if len(limits) == len(enough) and max(limits) < len(samples):
            few = samples[: max(limits)]
            collect_cached([measurement], artifact, few, progress=progress)
        else:
            yield measurement
    checked = [samples[i] for i in range(min(_CHECKED_IMAGES, len(samples)))] if names else []
    return prepare(model, names, seen, checked)


def prepare(
    model: ModelProto, names: Collection[str], seen: Seen, samples: Sequence[Sample]
) -> Prepared:
    """Apply the rewrites in `names` to a float network with inferred shapes.

    `seen` holds the extremes of each channel on calibration images. Each rewrite is checked
    on `samples`: raises QuantizeError naming it when classes or logits change beyond the
    limits of `export.ort.parity`.
    """
    prepared = Prepared(model)
    for name in [name for name in REWRITES if name in names]:
        change = REWRITES[name].apply(prepared.model, _now(seen, prepared.rescaled))
        if change.model.graph == prepared.model.graph:
            if not REWRITES[name].silent:
                step = Step(name, change.summary, 0.0, 100.0)
                prepared = replace(prepared, steps=(*prepared.steps, step))
            continue
        rewritten = infer_shapes(change.model)
        step = _checked(name, change.summary, model, rewritten, samples)
        rescaled = _chained(prepared.rescaled, change.rescaled)
        kept = prepared.kept_float | change.kept_float
        prepared = Prepared(rewritten, (*prepared.steps, step), rescaled, kept)
    return prepared


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
