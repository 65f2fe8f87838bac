"""End an int8 file in the mask head that is fastest on its target, and compare the two."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from export.artifact.facts import FormFacts
from export.artifact.sample import Sample
from export.common.errors import QuantizeError
from export.mask_head.heads import with_head
from export.mask_head.tail import find_tail
from export.onnx_graph.graph import dims, infer_shapes
from export.ort.sessions import open_session, run

TIE = 1e-4
"""Two logits that differ by no more than this times the largest |logit| are tied."""
_CHECKED_IMAGES = 2


def with_mask_head(
    model: ModelProto, form: str, samples: Sequence[Sample]
) -> tuple[ModelProto, FormFacts]:
    """Return `model` with its Resize and ArgMax in another form, and what the manifest says of it.

    As it is, with nothing to say, where it does not end in them or the form is "plain". Runs
    both on two images; raises QuantizeError where a pixel gets a class that was not tied for
    the largest logit.
    """
    ended = with_head(model, form)
    if ended is None:
        return model, {}
    fast, form = ended
    before, after = _logits_and_mask(model), open_session(fast.SerializeToString())
    batch = dims(model.graph.input[0])[0] or 1
    pixels = differ = 0
    for index in range(min(_CHECKED_IMAGES, len(samples))):
        image = np.repeat(samples[index].image, batch, axis=0)
        logits, mask = run(before, image)
        (other,) = run(after, image)
        n, y, x = np.nonzero(mask != other)
        pixels, differ = pixels + mask.size, differ + len(n)
        gap = logits[n, mask[n, y, x], y, x] - logits[n, other[n, y, x], y, x]
        allowed = TIE * float(np.abs(logits).max())
        if not (gap <= allowed).all():
            raise QuantizeError(
                f"mask head {form}: {np.count_nonzero(~(gap <= allowed))} pixels of image "
                f"{samples[index].id} get another class than from Resize and ArgMax, by up to "
                f"{np.nanmax(gap):.3g}; this is a bug, please report it"
            )
    return fast, {"mask_head": {"form": form, "pixels": pixels, "ties": differ}}


def _logits_and_mask(model: ModelProto) -> Any:
    """Open the model with its full-size logits as a further output, before the mask."""
    copy = ModelProto()
    copy.CopyFrom(model)
    tail = find_tail(infer_shapes(copy, data_prop=True))
    assert tail is not None  # or there would be no other head
    copy.graph.output.insert(0, onnx.ValueInfoProto(name=tail.nodes[0].output[0]))
    return open_session(copy.SerializeToString())
