"""The statistics that int8 needs of a float network, and the ranges that follow from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto, NodeProto

from quantize.calibration.coverage import Coverage
from quantize.calibration.coverage import facts as coverage_facts
from quantize.calibration.measurement import Measurement
from quantize.calibration.statistics import Statistic
from quantize.graph.clips import clipped, within
from quantize.graph.selection import range_sources
from quantize.ranges.grid import Grid
from quantize.ranges.ranges import Range, RangeRule
from quantize.rounding.moments import InputMoments
from quantize.rounding.rounding import input_moments


@dataclass(frozen=True)
class Observation:
    """Statistics of one network, which are filled when they are collected.

    `seen` is by tensor what the range rule wants, `moments` by layer what rounding wants to know
    of its input. `sources` names, for every tensor to quantize, the tensor in `seen` whose range
    it has.
    """

    model: ModelProto
    rule: RangeRule
    sources: Mapping[str, str]
    seen: Mapping[str, Statistic]
    moments: Mapping[str, InputMoments]
    coverage: Mapping[str, Coverage]

    def measurement(self) -> Measurement:
        """Return all statistics, to be collected in one pass."""
        inputs = {node.name: node.input[0] for node in self.model.graph.node}
        statistics: dict[str, list[Statistic]] = {
            name: [statistic] for name, statistic in self.seen.items()
        }
        for layer, moments in self.moments.items():
            statistics.setdefault(inputs[layer], []).append(moments)
        for name, coverage in self.coverage.items():
            statistics[name].append(coverage)
        return Measurement(self.model, statistics)

    def ranges(self, grid: Grid, known: Mapping[str, Range]) -> dict[str, Range]:
        """Return the range of every tensor to quantize; those in `known` need no rule."""
        limits = clipped(self.model)
        by_source = {name: self.rule.range(seen, grid) for name, seen in self.seen.items()}
        by_source |= {n: within(by_source[n], limits[n]) for n in by_source.keys() & limits.keys()}
        by_source |= {name: known[name] for name in by_source.keys() & known.keys()}
        return {tensor: by_source[source] for tensor, source in self.sources.items()}

    def facts(self) -> dict[str, Any]:
        """Return what a manifest records of the calibration images."""
        return coverage_facts(self.coverage)


def observe(
    model: ModelProto, layers: Sequence[NodeProto], rule: RangeRule, images: int, *, moments: bool
) -> Observation:
    """Declare what to collect of `images` images so that `layers` can become int8.

    With `moments` also what methods of rounding need.
    """
    sources = range_sources(model, layers, joined=True)
    tensors = sorted(set(sources.values()))
    return Observation(
        model,
        rule,
        sources,
        {name: rule.statistic(images) for name in tensors},
        input_moments(model, layers) if moments else {},
        {name: Coverage() for name in tensors},
    )
