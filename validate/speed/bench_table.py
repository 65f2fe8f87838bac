"""What was timed, for a terminal."""

from tabulate import tabulate

from validate.result.cells import Cell, number
from validate.speed.bench import Bench, Timing
from validate.speed.contention import disturbed
from validate.speed.latency import Spread

_HEAD = (
    "artifact", "runtime", "input", "session ms", "image to mask ms", "ratio", "load ms",
    "MB file", "MB loaded", "MB peak",
)  # fmt: skip


def bench_lines(found: Bench) -> str:
    """Return the table, what it was measured on, and what a reader must know."""
    parallel = next((t.throughput for t in found.timings if t.throughput), None)
    head = [*_HEAD, *([f"images/s ({parallel.sessions} sessions)"] if parallel else [])]
    pinning = "not pinned" if found.cpus is None else f"pinned to {_listed(found.cpus)}"
    lines = [
        tabulate(map(_row, found.timings), head, disable_numparse=True),
        "",
        f"{found.machine['cpu']}, {found.threads} threads {pinning}; {found.rounds} rounds of one "
        f"run each after {found.warm_up} to warm up; picture: {found.picture}.",
        "Times: median (10th-90th percentile). Ratio: image to mask time by the first's, in the "
        "same round; less than 1 is faster.",
        "MB: resident memory beyond onnxruntime's own, in a process of its own.",
    ]
    if parallel:
        lines.append(f"images/s: {parallel.sessions} sessions on {parallel.threads} threads each.")
    if len({timing.shape for timing in found.timings}) > 1:
        lines.append("warning: inputs differ in shape, so ratios are between different work")
    lines += disturbed(found.others)
    lines += [f"warning: {t.file}: {text}" for t in found.timings for text in t.warnings]
    return "\n".join(lines)


def _row(one: Timing) -> list[Cell]:
    return [
        one.file,
        one.runtime,
        "x".join(map(str, one.shape)),
        _spread(one.session_ms, 1),
        _spread(one.mask_ms, 1),
        _spread(one.ratio, 2),
        number(one.footprint.load_ms.median, 0),
        number(one.size_bytes / 1e6, 1),
        number(one.footprint.loaded_mb, 0),
        number(one.footprint.peak_mb, 0),
        *([number(one.throughput.images_per_s, 1)] if one.throughput else []),
    ]


def _spread(found: Spread, digits: int) -> str:
    low, high = number(found.p10, digits), number(found.p90, digits)
    return f"{number(found.median, digits)} ({low}-{high})"


def _listed(cpus: tuple[int, ...]) -> str:
    return f"CPU{'s' if cpus[1:] else ''} {', '.join(map(str, cpus))}"
