"""Apply the rewrites that a target wants, and check that no integer changed."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import ModelProto

from export.artifact.facts import FormFacts
from export.artifact.sample import Sample
from export.onnx_graph.graph import dims, normalise
from export.ort.sessions import open_session, run
from quantize.lossless.groups import merge_groups
from quantize.lossless.padding import skip_padding
from quantize.lossless.pixels import merge_pixels

LOSSLESS: dict[str, Callable[[ModelProto], list[str]]] = {
    "merge-pixels": merge_pixels,
    "skip-padding": skip_padding,
    "merge-groups": merge_groups,
}
"""Each changes a QDQ model in place and returns the names of the layers it rewrote."""

_CHECKED_IMAGES = 2


def rewrite_losslessly(
    model: ModelProto, names: Sequence[str], samples: Sequence[Sample]
) -> tuple[ModelProto, FormFacts]:
    """Return a model that gives what `model` gives, and what the manifest says of it.

    Runs both on two images. Where any output differs (a runtime that fuses the rewritten layers
    otherwise rounds otherwise), the rewrites are tried one by one, and those that change
    something are left out and named.
    """
    rewritten = _rewritten(model, names)
    if rewritten is None:
        return model, {}
    if _same(model, rewritten[0], samples):
        return rewritten[0], {"lossless": rewritten[1]}
    kept, layers, left_out = model, dict[str, list[str]](), list[str]()
    for name in names:
        alone = _rewritten(kept, [name])
        if alone is None:
            continue
        if _same(kept, alone[0], samples):
            kept, layers = alone[0], layers | alone[1]
        else:
            left_out.append(name)
    done: FormFacts = {"lossless": layers} if layers else {}
    return kept, {**done, "left_out": left_out}


def _rewritten(
    model: ModelProto, names: Sequence[str]
) -> tuple[ModelProto, dict[str, list[str]]] | None:
    """Return a rewritten copy and its layers by rewrite; None where there is nothing to do."""
    changed = ModelProto()
    changed.CopyFrom(model)
    layers = {name: LOSSLESS[name](changed) for name in names}
    layers = {name: by for name, by in layers.items() if by}
    if not layers:
        return None
    del changed.graph.value_info[:]
    changed = normalise(changed)
    onnx.checker.check_model(changed)
    return changed, layers


def _same(model: ModelProto, changed: ModelProto, samples: Sequence[Sample]) -> bool:
    """Whether both give the same outputs, to the last bit."""
    before, after = (open_session(m.SerializeToString()) for m in (model, changed))
    batch = dims(model.graph.input[0])[0] or 1
    for sample in (samples[i] for i in range(min(_CHECKED_IMAGES, len(samples)))):
        image = np.repeat(sample.image, batch, axis=0)
        results = zip(run(before, image), run(after, image), strict=True)
        if not all(np.array_equal(one, other) for one, other in results):
            return False
    return True
