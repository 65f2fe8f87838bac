"""How a float16 file fares on hardware that adds up products in float16."""

from collections.abc import Mapping
from math import prod, sqrt

import onnx

from export.artifact.artifact import Artifact
from export.common.progress import Progress, silent
from export.onnx_graph.graph import with_input_shape
from export.onnx_graph.onnx_cost import graph_cost
from export.ort.fp16_emulation import emulate_fp16
from validate.accumulation.bound import gamma, may_overflow
from validate.accumulation.engine import Accumulating, Tally, ranks_of, summing, tensor_types
from validate.accumulation.sums import SUMS
from validate.counting.evaluation import evaluate
from validate.data.items import Dataset
from validate.judging.figures import figures
from validate.result.facts import AccumulationFacts, RestFacts, SumFacts
from validate.runtime.engine import Runtime
from validate.runtime.ort import emulated_fp16
from validate.samples.samples import Preparation

IMAGES = 4
"""Enough to see a network break."""
_MACS = 3e9
"""Of the layers that are emulated, an image; 10^9 take a core about three seconds in an order."""
_FLOAT32 = "float32"


def measure_accumulation(
    artifact: Artifact,
    reference: tuple[str, Runtime],
    dataset: Dataset,
    preparation: Preparation,
    classes: tuple[str, ...],
    progress: Progress = silent,
) -> AccumulationFacts:
    """Run a float16 file with float16 sums in every order.

    `reference` is the id and runtime that agreement is counted against. The layers with the longest
    sums are emulated, the others bounded (`validate.accumulation.bound`).
    """
    terms, macs = _sums(artifact)
    emulated = _longest(terms, macs)
    engines = {order: Accumulating(artifact, order, emulated) for order in SUMS}
    runtimes = {_FLOAT32: emulated_fp16(artifact, None)}
    runtimes |= {order: Runtime(order, "CPU", engine) for order, engine in engines.items()}
    few = dataset.first(IMAGES)
    id, engine = reference
    evaluations = evaluate({id: engine, **runtimes}, id, few, preparation, progress=progress)
    evidence = {key: run.evidence() for key, run in evaluations.items()}
    reached = figures(evidence, id, classes, [item.id for item in few.items], resamples=1)

    def facts(key: str, tallies: Mapping[str, Tally]) -> SumFacts:
        errors = {layer: _error(tally) for layer, tally in tallies.items() if layer in emulated}
        worst = max(errors, key=lambda layer: errors[layer], default=None)
        return SumFacts(
            order=key,
            miou=reached[key].miou,
            agreement=reached[key].agreement,
            nonfinite_images=reached[key].nonfinite_images,
            overflowed=[layer for layer in errors if tallies[layer].overflowed],
            worst_layer=worst,
            worst_terms=terms[worst] if worst else None,
            worst_error=100 * errors[worst] if worst else None,
        )

    return AccumulationFacts(
        images=len(few.items),
        layers=len(emulated),
        macs_share=sum(macs[layer] for layer in emulated) / (sum(macs.values()) or 1),
        sums=[facts(_FLOAT32, {}), *(facts(key, one.tallies) for key, one in engines.items())],
        rest=_rest({k: v for k, v in terms.items() if k not in emulated}, engines),
    )


def _sums(artifact: Artifact) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many products each value of a layer adds up, and the layer's MACs."""
    manifest = artifact.manifest
    model = emulate_fp16(onnx.load(artifact.path))
    shaped = with_input_shape(model, (manifest.input.shape[0] or 1, *manifest.macs_shape))
    types = tensor_types(shaped)
    ranks = ranks_of(types)
    layers = {node.name for node in model.graph.node if summing(node, ranks)}
    counted = [node for node in graph_cost(shaped).nodes if node.name in layers]
    macs = {node.name: node.macs for node in counted}
    terms = {
        node.name: node.macs // prod(d.dim_value for d in types[node.output].shape.dim)
        for node in counted
    }
    return terms, macs


def _longest(terms: Mapping[str, int], macs: Mapping[str, int]) -> set[str]:
    """Return the layers with the longest sums, as many as there is time for; one at least."""
    chosen: set[str] = set()
    for layer in sorted(terms, key=lambda name: -terms[name]):
        if not chosen or sum(macs[name] for name in chosen) + macs[layer] <= _MACS:
            chosen.add(layer)
    return chosen


def _error(tally: Tally) -> float:
    """Return the root mean square of the error relative to that of the result; 1 at most."""
    if tally.overflowed or tally.error >= tally.signal:
        return float(tally.signal > 0)
    return sqrt(tally.error / tally.signal)


def _rest(terms: Mapping[str, int], engines: Mapping[str, Accumulating]) -> RestFacts | None:
    if not terms:
        return None
    bounds: dict[str, float | None] = {}
    overflow: set[str] = set()
    for order, engine in engines.items():
        tallies = {layer: engine.tallies[layer] for layer in terms}
        shares = [_bound(order, terms[layer], tally) for layer, tally in tallies.items()]
        known = [share for share in shares if share is not None]
        bounds[order] = 100 * max(known) if len(known) == len(shares) else None
        overflow |= {k for k, v in tallies.items() if may_overflow(order, terms[k], v.reach)}
    return RestFacts(
        layers=len(terms),
        longest=max(terms.values()),
        bounds=bounds,
        may_overflow=sorted(overflow),
    )


def _bound(order: str, terms: int, tally: Tally) -> float | None:
    """Return the most that rounding can change a result, relative to the layer's largest."""
    share = gamma(order, terms)
    return None if share is None else share * tally.reach / (tally.largest or 1.0)
