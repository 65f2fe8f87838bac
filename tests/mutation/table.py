"""What is mutated, and the tests that have to notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    """Modules (globs, as mutmut reads them) and the tests (files or folders) of them."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


SUBJECTS = {
    "metrics": Subject(
        ("validate/metrics/metrics.py", "validate/metrics/agreement.py"),
        (
            "tests/validate/metrics/test_metrics.py",
            "tests/validate/metrics/test_agreement.py",
            "tests/numerical/test_masks.py",
        ),
    ),
    "intervals": Subject(
        ("validate/metrics/bootstrap.py", "validate/metrics/intervals.py"),
        ("tests/validate/metrics/test_intervals.py", "tests/numerical/test_intervals.py"),
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
            "tests/validate/gating/test_gate.py",
        ),
    ),
    "changes": Subject(
        (
            "validate/metrics/counts.py",
            "validate/gating/decision.py",
            "validate/gating/overall.py",
            "validate/gating/baseline/paired.py",
            "validate/gating/baseline/unpaired.py",
            "validate/gating/verdict.py",
        ),
        (
            "tests/validate/gating/test_decision.py",
            "tests/validate/gating/formats/test_formats.py",
            "tests/validate/gating/baseline/test_paired.py",
            "tests/validate/gating/baseline/test_same_images.py",
            "tests/validate/gating/test_sentences.py",
            "tests/validate/gating/baseline/test_unpaired.py",
            "tests/validate/gating/test_gate.py",
        ),
    ),
    "baseline": Subject(
        (
            "validate/gating/baseline/against_baseline.py",
            "validate/gating/baseline/baseline_counts.py",
            "validate/gating/counted.py",
        ),
        (
            "tests/validate/gating/test_counted.py",
            "tests/validate/gating/test_doubts.py",
            "tests/validate/gating/baseline/test_entries.py",
            "tests/validate/gating/baseline/test_paired.py",
            "tests/validate/gating/baseline/test_same_images.py",
            "tests/validate/gating/baseline/test_unpaired.py",
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
        (
            "export/onnx_graph/onnx_cost.py",
            "export/networks/torch_cost.py",
            "quantize/partition/costs.py",
        ),
        (
            "tests/export/onnx_graph/test_onnx_cost.py",
            "tests/export/networks/test_torch_cost.py",
            "tests/quantize/partition",
            "tests/numerical/test_costs.py",
        ),
    ),
    "manifests": Subject(
        ("export/artifact/artifact.py", "export/artifact/manifest.py"),
        ("tests/export/artifact/test_artifact.py",),
    ),
}
