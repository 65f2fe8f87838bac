"""What is printed of an artifact that was written."""

from typing import TYPE_CHECKING, Any

from tabulate import tabulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.artifact.artifact import Artifact
    from export.artifact.facts import FloatLayerFacts, Fp16Facts, Int8Facts

_LISTED = 8
"""Layers named on the terminal; the manifest has all."""


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
            f"self-check: agrees with fp32 on {self_check['agreement']:.2f} % of pixels"
            f"{_in_objects(self_check)} ({len(self_check['images'])} {kind}{_at_sizes(self_check)})"
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


def _in_objects(self_check: "dict[str, Any]") -> str:
    objects = self_check.get("objects")
    return "" if objects is None else f", on {objects:.2f} % in objects"


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
