"""Check a file against the rules of its precision and target."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import onnx

from export.artifact.artifact import Artifact
from export.common.errors import ArtifactError
from export.ort.inspection import inspect
from export.ort.sessions import cpu_facts
from quantize.graph.qdq_graph import QdqGraph
from quantize.host import verifiable
from quantize.lint import grid, structure, weights
from quantize.lint.subject import Found, LintSubject
from quantize.targets import get_target

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """A rule that does not hold; `where` names the layer or tensor, `reason` why it matters."""

    rule: str
    severity: Severity
    where: str
    message: str
    reason: str


@dataclass(frozen=True)
class LintRule:
    """`check` yields (where, message) wherever a file of one of `precisions` breaks it."""

    check: Callable[[LintSubject], Found]
    reason: str
    precisions: tuple[str, ...] = ("int8",)
    severity: Severity = "error"


_ALL = ("fp32", "fp16", "int8")

RULES: dict[str, LintRule] = {
    "loads": LintRule(structure.loads, "a file must load in a runtime", _ALL),
    "ir-version": LintRule(structure.ir_version, "older runtimes refuse newer files", _ALL),
    "finite-weights": LintRule(
        weights.finite_weights, "one inf or NaN spreads over the mask", _ALL
    ),
    "dead-channels": LintRule(
        weights.dead_channels,
        "with int8 scales below 1e-9 their bias overflows int32",
        ("fp32",),
        "warning",
    ),
    "half-range": LintRule(
        weights.half_range, "float16 ends at 65504; the converter clips what is larger", ("fp16",)
    ),
    "half-subnormal": LintRule(
        weights.half_subnormal,
        "below 2^-14 float16 loses bits, and some hardware flushes it to zero",
        ("fp16",),
        "warning",
    ),
    "opset": LintRule(structure.opset_version, "older Q/DQ lack what the target's file needs"),
    "fusion": LintRule(structure.fusion, "what is not fused computes in float between Q and DQ"),
    "island": LintRule(structure.island, "each way out of int8 and back costs time and rounding"),
    "partner": LintRule(structure.partner, "runtimes fuse Q and DQ in pairs of equal parameters"),
    "one-grid": LintRule(
        structure.one_grid, "integers that are only moved would be rounded once more, or refused"
    ),
    "types": LintRule(grid.types, "the target's kernels take these integer types only"),
    "zero-point": LintRule(grid.zero_point, "the target computes without zero points"),
    "granularity": LintRule(grid.granularity, "the target's kernels take this many scales only"),
    "weight-range": LintRule(grid.weight_range, "larger products may saturate the target's sums"),
    "scale": LintRule(grid.scale, "a scale must be a finite number above 0"),
    "near-zero-scale": LintRule(
        grid.near_zero_scale,
        "such a channel is as good as dead, and an int32 bias overflows",
        severity="warning",
    ),
    "power-of-two": LintRule(grid.power_of_two, "the target scales by shifting"),
    "fixed-scale": LintRule(
        grid.fixed_scale, "the target's kernel gives this operator's result on one grid only"
    ),
    "bias-type": LintRule(grid.bias_type, "the target's convolutions fuse this bias type only"),
    "bias-range": LintRule(grid.bias_range, "a bias that does not fit int32 is clipped"),
    "bias-scale": LintRule(grid.bias_scale, "the bias is added to the accumulator as it is"),
    "residual-add": LintRule(
        structure.residual_add, "a Q after the convolution keeps the Add from being fused into it"
    ),
}


def lint(artifact: Artifact) -> list[Finding]:
    """Return what breaks the rules for the artifact's precision and target, in graph order.

    Raises ArtifactError for an int8 artifact without a target, UsageError for an unknown one.
    """
    subject = _subject(artifact)
    return [
        Finding(name, rule.severity, where, message, rule.reason)
        for name, rule in RULES.items()
        if artifact.manifest.precision in rule.precisions
        for where, message in rule.check(subject)
    ]


def exit_code(findings: list[Finding]) -> int:
    """Return 1 when a finding is an error, else 0."""
    return int(any(finding.severity == "error" for finding in findings))


def _subject(artifact: Artifact) -> LintSubject:
    manifest = artifact.manifest
    target = None
    if manifest.precision == "int8":
        if manifest.target is None:
            raise ArtifactError(f"{artifact.path}: an int8 artifact whose manifest has no target")
        target = get_target(manifest.target)
    failure, optimized = None, None
    try:
        optimized = inspect(artifact.path, (manifest.input.shape[0] or 1, *manifest.macs_shape))
    except ArtifactError as error:
        failure = str(error)
    return LintSubject(
        graph=QdqGraph(onnx.load(artifact.path)),
        target=target,
        kept_float=frozenset(manifest.kept_float),
        wide_weights=frozenset(manifest.int8.get("wide_weights", ()) if manifest.int8 else ()),
        failure=failure,
        optimized=optimized if target and verifiable(target, cpu_facts()) is None else None,
    )
