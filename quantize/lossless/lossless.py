"""Apply the rewrites that a target wants, and check that no integer is another one."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from export.artifact import Sample
from export.errors import QuantizeError
from export.graph import dims, normalise
from export.sessions import open_session, run
from quantize.lossless.padding import skip_padding
from quantize.lossless.pixels import merge_pixels

LOSSLESS: dict[str, Callable[[ModelProto], list[str]]] = {
    "merge-pixels": merge_pixels,
    "skip-padding": skip_padding,
}
"""Each changes a QDQ model in place and returns the names of the layers it rewrote."""

_CHECKED_IMAGES = 2


def rewrite_losslessly(
    model: ModelProto, names: Sequence[str], samples: Sequence[Sample]
) -> tuple[ModelProto, dict[str, Any]]:
    """Return a model that gives what `model` gives, and what the manifest says of it.

    Runs both on two images; raises QuantizeError where any output differs.
    """
    changed = ModelProto()
    changed.CopyFrom(model)
    layers = {name: LOSSLESS[name](changed) for name in names}
    layers = {name: found for name, found in layers.items() if found}
    if not layers:
        return model, {}
    del changed.graph.value_info[:]
    changed = normalise(changed)
    onnx.checker.check_model(changed)
    before, after = (open_session(m.SerializeToString()) for m in (model, changed))
    batch = dims(model.graph.input[0])[0] or 1
    for sample in (samples[i] for i in range(min(_CHECKED_IMAGES, len(samples)))):
        image = np.repeat(sample.image, batch, axis=0)
        results = zip(run(before, image), run(after, image), strict=True)
        if not all(np.array_equal(one, other) for one, other in results):
            raise QuantizeError(
                f"{', '.join(layers)} changed what image {sample.id} gives; this is a bug, "
                "please report it"
            )
    return changed, {"lossless": layers}
