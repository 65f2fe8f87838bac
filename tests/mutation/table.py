"""What is mutated, and the tests that have to notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    """Modules (globs, as mutmut reads them) and the tests (files or folders) of them."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


SUBJECTS = {
    "metrics": Subject(
        ("validate/metrics.py", "validate/agreement.py"),
        (
            "tests/validate/test_metrics.py",
            "tests/validate/test_agreement.py",
            "tests/numerical/test_masks.py",
        ),
    ),
    "intervals": Subject(
        ("validate/bootstrap.py", "validate/intervals.py"),
        ("tests/validate/test_intervals.py", "tests/numerical/test_intervals.py"),
    ),
    "budgets": Subject(
        (
            "validate/gating/budgets.py",
            "validate/gating/kinds.py",
            "validate/gating/units.py",
        ),
        (
            "tests/validate/gating/test_budgets.py",
            "tests/validate/gating/test_counted.py",
            "tests/validate/test_gate.py",
        ),
    ),
    "changes": Subject(
        (
            "validate/counts.py",
            "validate/gating/decision.py",
            "validate/gating/overall.py",
            "validate/gating/paired.py",
            "validate/gating/unpaired.py",
            "validate/gating/verdict.py",
        ),
        (
            "tests/validate/gating/test_decision.py",
            "tests/validate/gating/test_formats.py",
            "tests/validate/gating/test_paired.py",
            "tests/validate/gating/test_same_images.py",
            "tests/validate/gating/test_sentences.py",
            "tests/validate/gating/test_unpaired.py",
            "tests/validate/test_gate.py",
        ),
    ),
    "baseline": Subject(
        (
            "validate/gating/against_baseline.py",
            "validate/gating/baseline_counts.py",
            "validate/gating/counted.py",
        ),
        (
            "tests/validate/gating/test_counted.py",
            "tests/validate/gating/test_doubts.py",
            "tests/validate/gating/test_entries.py",
            "tests/validate/gating/test_paired.py",
            "tests/validate/gating/test_sentences.py",
            "tests/validate/test_baseline.py",
        ),
    ),
    "ranges": Subject(
        ("quantize/ranges/*.py", "quantize/calibration/histogram.py"),
        (
            "tests/quantize/ranges",
            "tests/quantize/calibration/test_statistics.py",
            "tests/numerical/test_ranges.py",
        ),
    ),
    "rounding": Subject(
        (
            "quantize/rounding/gptq.py",
            "quantize/rounding/half.py",
            "quantize/rounding/settling.py",
            "quantize/rounding/steps.py",
        ),
        (
            "tests/quantize/rounding/test_gptq.py",
            "tests/quantize/rounding/test_half.py",
            "tests/quantize/rounding/test_settling.py",
            "tests/quantize/rounding/test_steps.py",
            "tests/numerical/test_halves.py",
        ),
    ),
    "costs": Subject(
        ("export/onnx_cost.py", "export/torch_cost.py", "quantize/partition/costs.py"),
        (
            "tests/export/test_onnx_cost.py",
            "tests/export/test_torch_cost.py",
            "tests/quantize/partition",
            "tests/numerical/test_costs.py",
        ),
    ),
    "manifests": Subject(("export/artifact.py",), ("tests/export/test_artifact.py",)),
}
