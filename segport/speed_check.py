"""Whether a file that was just made is faster than fp32 on this machine, and where."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tabulate import tabulate

from export.artifact.artifact import Artifact
from export.artifact.facts import FloatLayerFacts
from export.artifact.sample import Sample
from segport.scoring import session_times
from validate.profiling.times import Time, kernel_times
from validate.runtime.engine import fed

_ROUNDS = 10
_LEAST = 0.01
"""Share of the time, below which operators are summed up as others."""
_LAYOUT = ("ReorderInput", "ReorderOutput", "QuantizeLinear", "DequantizeLinear", "Cast")


def speed_lines(fp32: Artifact, made: Artifact, image: Sample) -> list[str]:
    """Return the time of both and their ratio, in a line, and a table of what takes it.

    And a warning where fp32 is faster. Measured interleaved on `image`, prepared for `fp32`;
    nothing for an int8 file of another kind of machine. The manifest does not record it: the same
    command must give the same bytes.
    """
    facts = made.manifest.int8
    if facts is None or facts["int8_unverified"]:
        return []
    both = fed(image.image, fp32.manifest)
    before, after = kernel_times([fp32.path, made.path], both, _ROUNDS)
    reference, time = session_times(fp32, image.image, [fp32.path, made.path])
    lines = [
        f"int8 takes {time:.1f} ms here, fp32 {reference:.1f} ({time / reference:.2f} of it):",
        time_table(before, after, facts.get("float_layers", [])),
    ]
    if time > reference:
        lines.append(
            "warning: int8 is slower than fp32 here; see each layer with "
            f"'segport profile {made.path}', or use --precision fp16 on a GPU"
        )
    return lines


@dataclass
class _Row:
    """Kernels of one operator and one kind in the int8 file."""

    kernels: int = 0
    macs: int = 0
    ms: float = 0.0
    reasons: dict[str, float] = field(default_factory=dict)


def time_table(
    fp32: Sequence[Time], int8: Sequence[Time], float_layers: Sequence[FloatLayerFacts]
) -> str:
    """Return what takes the int8 file's time by operator: in int8 or float, and why in float.

    Beside it the fp32 file's time in the same operator. `float_layers` are those of the manifest.
    """
    because = {layer["layer"]: layer["reason"] for layer in float_layers}
    rows: dict[tuple[str, str], _Row] = {}
    for time in int8:
        row = rows.setdefault(_key(time), _Row())
        row.kernels += 1
        row.macs += time.macs
        row.ms += time.ms
        if reason := because.get(time.layer):
            row.reasons[reason] = row.reasons.get(reason, 0.0) + time.ms
    before: dict[str, float] = {}
    for time in fp32:
        operator = _key(time)[0]
        before[operator] = before.get(operator, 0.0) + time.ms
    cells, least = [], _LEAST * sum(time.ms for time in int8)
    macs = sum(row.macs for row in rows.values()) or 1
    kernels, ms, exact = 0, 0.0, 0.0
    for operator, kind in sorted(rows, key=lambda key: -rows[key].ms):
        row, taken = rows[operator, kind], before.pop(operator, None)
        if max(row.ms, taken or 0) < least:
            kernels, ms, exact = kernels + row.kernels, ms + row.ms, exact + (taken or 0)
            continue
        reason = max(row.reasons, key=row.reasons.__getitem__, default="")
        share = 100 * row.macs / macs if row.macs else None
        cells.append([operator, kind, row.kernels, share, row.ms, taken, reason])
    for operator, taken in sorted(before.items(), key=lambda item: -item[1]):
        if taken < least:
            exact += taken
        else:
            cells.append([operator, "", None, None, None, taken, ""])
    cells.append(["others", "", kernels, None, ms, exact, ""])
    headers = ["ms here", "runs in", "kernels", "MACs %", "int8 file", "fp32 file", "because"]
    return tabulate(cells, headers, floatfmt=("", "", ".0f", ".1f", ".2f", ".2f"), missingval="")


def _key(time: Time) -> tuple[str, str]:
    """Return under which operator and kind a kernel is listed."""
    if time.operator in _LAYOUT:
        return "conversions, layout", ""
    return time.operator, "int8" if time.kind == "int8" else "float"
