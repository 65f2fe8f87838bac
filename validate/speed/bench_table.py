"""What was timed, for a terminal."""

from collections.abc import Sequence
from dataclasses import replace

from tabulate import tabulate

from validate.result.cells import Cell, number
from validate.speed.bench import Bench, BenchTiming
from validate.speed.contention import disturbed
from validate.speed.fastest import Contender, fastest_line, held_to
from validate.speed.latency import Spread

_HEAD = (
    "artifact", "runtime", "input", "session ms", "image to mask ms", "ratio", "load ms",
    "MB file", "MB loaded", "MB peak",
)  # fmt: skip


def bench_lines(bench: Bench, least: float = 0.0) -> str:
    """Return the table, what it was measured on, and what a reader must know.

    The last line names the fastest of several that agree with fp32 on `least` percent of pixels.
    """
    parallel = next((t.throughput for t in bench.timings if t.throughput), None)
    head = [*_HEAD, *([f"images/s ({parallel.sessions} sessions)"] if parallel else [])]
    pinning = "not pinned" if bench.cpus is None else f"pinned to {_listed(bench.cpus)}"
    lines = [
        tabulate(map(_row, bench.timings), head, disable_numparse=True),
        "",
        f"{bench.machine['cpu']}, {bench.threads} threads {pinning}; {bench.rounds} rounds of one "
        f"run each after {bench.warm_up} to warm up; picture: {bench.picture}.",
        "Times: median (10th-90th percentile). Ratio: image to mask time by the first's, in the "
        "same round; less than 1 is faster.",
        "MB: resident memory beyond onnxruntime's own, in a process of its own.",
    ]
    if parallel:
        lines.append(f"images/s: {parallel.sessions} sessions on {parallel.threads} threads each.")
    if len({timing.shape for timing in bench.timings}) > 1:
        lines.append("warning: inputs differ in shape, so ratios are between different work")
    lines += disturbed(bench.others)
    lines += [f"warning: {t.file}: {text}" for t in bench.timings for text in t.warnings]
    if len(bench.timings) > 1 and len({timing.shape for timing in bench.timings}) == 1:
        contenders = [_contender(timing) for timing in bench.timings]
        lines.append(fastest_line(held_to(contenders, least)))
    return "\n".join(lines)


def ranking_line(measured: Sequence[Bench], least: float = 0.0) -> list[str]:
    """Say whether the fastest file and runtime change with the threads; nothing of one number.

    Times are per image, so files of several batch sizes are compared, too.
    """
    winners = {bench.threads: _winner(bench, least) for bench in measured}
    if len(winners) < 2 or None in winners.values():
        return []
    if len(set(winners.values())) == 1:
        counts = " and ".join(map(str, winners))
        return [
            f"the fastest per image with {counts} threads alike: {next(iter(winners.values()))}"
        ]
    each = "; ".join(f"with {threads} {winner}" for threads, winner in winners.items())
    return [f"the fastest per image changes with the threads: {each}"]


def _winner(bench: Bench, least: float) -> str | None:
    per_image = [replace(_contender(t), ms=t.mask_ms.median / t.shape[0]) for t in bench.timings]
    kept = [one for one in held_to(per_image, least) if not one.left_out]
    best = min(kept, key=lambda one: one.ms, default=None)
    return f"{best.file} on {best.runtime}" if best else None


def _contender(one: BenchTiming) -> Contender:
    return Contender(one.file, one.runtime, one.mask_ms.median, one.agreement)


def _row(one: BenchTiming) -> list[Cell]:
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


def _spread(latency: Spread, digits: int) -> str:
    low, high = number(latency.p10, digits), number(latency.p90, digits)
    return f"{number(latency.median, digits)} ({low}-{high})"


def _listed(cpus: tuple[int, ...]) -> str:
    return f"CPU{'s' if cpus[1:] else ''} {', '.join(map(str, cpus))}"
