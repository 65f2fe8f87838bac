"""What commands print for people."""

from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from export.common.escaping import terminal
from validate.result.cells import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.artifact.artifact import Artifact
    from export.artifact.facts import FloatLayerFacts, Fp16Facts, Int8Facts
    from quantize.lint.lint import Finding
    from segport.pipeline import RunResult
    from validate.gating.judged import Judged
    from validate.gating.proof.plan import ImagePlan
    from validate.gating.proof.self_test import Trial
    from validate.gating.verdict import Verdict


_LISTED = 8
"""Layers named on the terminal; the manifest has all."""


def models_table(rows: "Sequence[dict[str, Any]]") -> str:
    """Return the zoo as a table, with the counting rules below it."""
    table = tabulate(
        [
            [
                row["model"],
                row["source"],
                f"{row['params'] / 1e6:.3f}",
                f"{row['macs'] / 1e9:.3f}",
                f"{row['flops_published_rule']:.3f}",
                number(row["published_flops"], 3),
                number(row["published_miou"], 1),
                row["published_miou_on"],
            ]
            for row in rows
        ],
        [
            "model",
            "source",
            "params (M)",
            "MACs (G)",
            "FLOPs (THOP/4.5e8)",
            "published FLOPs",
            "published mIoU",
            "on",
        ],
        disable_numparse=True,
    )
    uncounted = sorted({name for row in rows for name in row["uncounted"]})
    return "\n".join(
        [
            table,
            "",
            "MACs: multiply-accumulates of convolutions, one 3x513x513 image. FLOPs (THOP/4.5e8): "
            "the published DeepLab table's rule.",
            "Published FLOPs: as the source prints them; torchvision's are GMACs at 520x520.",
            f"Not counted as MACs: {', '.join(uncounted)}.",
        ]
    )


def artifact_lines(artifact: "Artifact", default_target: bool = False) -> str:
    """Return what was written and what its checks found; why this target, if it was no choice."""
    manifest = artifact.manifest
    lines = [
        f"wrote {artifact.path} ({artifact.path.stat().st_size / 1e6:.2f} MB) and its manifest"
    ]
    checks = manifest.checks
    if self_check := checks.get("self"):
        kind = (
            "images held back"
            if self_check["held_back"]
            else "calibration images, as all were used"
        )
        lines.append(
            f"self-check: agrees with fp32 on {self_check['agreement']:.2f} % of pixels "
            f"({len(self_check['images'])} {kind}{_at_sizes(self_check)})"
        )
        lines += [f"warning: {text}" for text in self_check["warnings"]]
    if parity := checks.get("parity"):
        difference = parity["max_abs_diff"]
        logits = "" if difference is None else f"logits differ by at most {difference:.2g}, "
        lines.append(
            f"parity: {logits}argmax agrees on {parity['argmax_agreement']:.4f} % of pixels "
            f"({parity['images']} {parity['on']})"
        )
        lines.append(f"onnxsim: {checks['onnxsim']}")
    lines += checks.get("notes", ())
    if manifest.fp16:
        lines += _fp16_lines(manifest.fp16)
    if manifest.int8:
        if default_target:
            from export.ort.sessions import cpu_facts
            from quantize.host import explain_default

            lines.append(explain_default(cpu_facts()))
        lines += _int8_lines(manifest.int8, manifest.target or "")
    return "\n".join(lines)


def _at_sizes(self_check: "dict[str, Any]") -> str:
    """Say what it was at each size, where there are several."""
    by_size = self_check.get("by_size", {})
    each = ", ".join(f"{value:.2f} % at {size}" for size, value in by_size.items())
    return f"; {each}" if len(by_size) > 1 else ""


def _int8_lines(facts: "Int8Facts", target_name: str) -> "list[str]":
    lines = []
    share = facts["int8_macs_share"]
    if share is None:
        quantized = 100 * facts["quantized_macs_share"]
        lines.append(f"int8: {quantized:.1f} % of MACs, not verified: {facts['int8_unverified']}")
    else:
        fused = ", ".join(f"{op} {done}/{all_}" for op, (done, all_) in facts["fused"].items())
        lines.append(f"int8: {100 * share:.1f} % of MACs; in int8: {fused}")
    if (foreseen := facts.get("foreseen_time")) and foreseen >= 1:
        lines.append(
            f"warning: int8 is foreseen to take {foreseen:.2f} of fp32's time on this target: "
            "what int8 has kernels for takes too little of it"
        )
    observed = facts.get("calibration", {}).get("warnings", ())
    lines += [f"warning: {text}" for text in observed]
    if left_out := facts.get("left_out"):
        lines.append(f"left out: {', '.join(left_out)} (would change what this runtime gives)")
    for rewrite, layers in facts.get("lossless", {}).items():
        lines.append(f"{rewrite}: {', '.join(layers)} (the same integers in less time)")
    if head := facts.get("mask_head"):
        lines.append(
            f"mask head: {head['form']}; {head['ties']} of {head['pixels']} pixels differ from "
            "Resize and ArgMax (ties)"
        )
    if facts["prepared"]:
        rows = [
            [step["rewrite"], step["summary"], step["max_abs_diff"], step["argmax_agreement"]]
            for step in facts["prepared"]
        ]
        headers = ["rewrite", "before -> after", "logits differ by", "same class %"]
        lines.append(tabulate(rows, headers, floatfmt=(".0f", ".0f", ".2g", ".2f")))
    if search := facts.get("search"):
        from quantize.targets import get_target

        target = get_target(target_name)
        lines.append(f"search: {search['verdict']}")
        rows = [
            [
                *(100 * one["int8_macs_share"], one["kept_float"], one["score"], one["images"]),
                one.get("latency_ms"),
            ]
            for one in search["frontier"]
        ]
        headers = [f"MACs {target.reduced} %", f"layers {target.spared}", "score", "images", "ms"]
        formats = (".1f", ".0f", ".3f", ".0f", ".1f")
        lines.append(tabulate(rows, headers, floatfmt=formats, missingval="-"))
    if (in_float := facts.get("float_layers")) is not None:
        lines += _float_lines(in_float)
    elif kept := facts["kept_float"]:  # a file of an earlier version
        more = f" and {len(kept) - _LISTED} more" if len(kept) > _LISTED else ""
        lines.append(f"kept in float: {', '.join(kept[:_LISTED])}{more}")
    return lines


def _float_lines(layers: "Sequence[FloatLayerFacts]") -> "list[str]":
    """Return the layers that stay in float, by reason and operator."""
    groups: dict[tuple[str, str], list[FloatLayerFacts]] = {}
    for layer in layers:
        groups.setdefault((layer["reason"], layer["operator"]), []).append(layer)
    rows: list[list[Any]] = [
        [
            operator,
            len(some),
            100 * sum(one["macs_share"] for one in some),
            reason,
            some[0]["layer"],
        ]
        for (reason, operator), some in groups.items()
    ]
    rows.sort(key=lambda row: -row[2])
    headers = ["in float", "layers", "MACs %", "because", "such as"]
    return [tabulate(rows, headers, floatfmt=("", ".0f", ".1f"))] if rows else []


def _fp16_lines(facts: "Fp16Facts") -> "list[str]":
    lines = []
    if not facts["range_checked"]:
        lines.append("warning: value range not checked against float16")
    for kept in facts["guarded"]:
        lines.append(
            f"kept in fp32: {kept['layer']} ({kept['reason']} reaches {kept['value']:.3g})"
        )
    by_name = sorted(set(facts["kept_float"]) - {kept["layer"] for kept in facts["guarded"]})
    if by_name:
        lines.append(f"kept in fp32 by name: {', '.join(by_name)}")
    emulated = facts["emulated"]
    if emulated and not emulated["finite"]:
        lines.append("broken: with float16 rounding the outputs hold inf or NaN")
    elif emulated:
        agreement = emulated["argmax_agreement"]
        lines.append(f"float16 rounding: argmax agrees on {agreement:.3f} % of pixels with fp32")
    return lines


def verdict_lines(verdicts: "Sequence[Verdict]") -> str:
    """Return one line per verdict."""
    return "\n".join(terminal(f"{v.outcome.upper()}  {v.id}: {v.reason}") for v in verdicts)


def gate_lines(judged: "Sequence[Judged]") -> str:
    """Return a line per verdict, and what helps to understand those that do not pass.

    Several results get a table, one row per verdict.
    """
    if len(judged) == 1:
        return "\n".join(line for v in _judgements(judged[0]) for line in _verdict_block(v))
    rows = [
        [
            terminal(text)
            for text in (
                v.outcome.upper(),
                gated.result.name,
                gated.result.protocol,
                v.id,
                v.check,
                v.reason,
            )
        ]
        for gated in judged
        for v in _judgements(gated)
    ]
    return tabulate(rows, ["", "network", "protocol", "artifact", "check", "why"])


def _judgements(judged: "Judged") -> "list[Verdict]":
    return [verdict for verdict in judged.verdicts if verdict.outcome != "warn"]


def _verdict_block(verdict: "Verdict") -> "list[str]":
    said = () if verdict.outcome == "pass" else verdict.evidence
    return [verdict_lines([verdict]), *(f"      {terminal(sentence)}" for sentence in said)]


def plan_lines(plans: "Sequence[ImagePlan]", points: float) -> str:
    """Return how small a drop the images show, and how many a verdict on `points` needs."""
    rows = [
        [
            terminal(p.name),
            p.protocol,
            terminal(p.id),
            p.images,
            p.detectable,
            p.needed,
            p.needed_unpaired,
        ]
        for p in plans
    ]
    headers = [
        "network", "protocol", "artifact", "images", "detectable drop",
        f"images for {points:g}", "on other images, each side",
    ]  # fmt: skip
    table = tabulate(rows, headers, floatfmt=".2f", missingval="-")
    return f"{table}\nwith 80 % power at 95 % confidence, on images like these"


def self_test_lines(trials: "Sequence[Trial]") -> str:
    """Return what was planted and what became of it."""
    rows = [
        [*map(terminal, (t.name, t.id)), t.plant, t.lost, t.allowed,
         "FAIL" if t.caught else "pass", "SLIPPED" if t.slipped else ""]
        for t in trials
    ]  # fmt: skip
    beyond = [t for t in trials if t.lost > t.allowed]
    slipped = sum(t.slipped for t in trials)
    table = tabulate(rows, ["network", "artifact", "planted", "lost", "allowed", "gate", ""],
                     floatfmt=".3f")  # fmt: skip
    verdict = f"{len(beyond) - slipped} of {len(beyond)} losses beyond the tolerance are caught"
    return f"{table}\n{verdict}"


def finding_lines(findings: "Sequence[Finding]") -> str:
    """Return one line per finding."""
    lines = [
        terminal(f"{f.severity.upper()}  {f.rule}: {f.where}: {f.message} ({f.reason})")
        for f in findings
    ]
    return "\n".join(lines) or "no findings"


def run_report(done: "RunResult") -> str:
    """Return the tables of a run, where its reports and pictures lie, and the verdicts."""
    from validate.report.report import terminal_report
    from validate.speed.fastest import fastest_line

    parts = []
    for result, folder in done.results:
        parts.append(f"{terminal_report(result)}\n\nreport: {folder / 'report.html'}")
    parts += [f"picture: {picture}" for picture in done.pictures]
    parts += [f"package: {done.package}"] if done.package else []
    lines = [
        terminal(f"{v.outcome.upper()}  {protocol} {v.id}: {v.reason}")
        for protocol, v in done.verdicts
    ]
    parts += ["\n".join(lines)] if lines else []
    parts += [fastest_line(done.contenders)] if done.contenders else []
    return "\n\n".join(parts)
