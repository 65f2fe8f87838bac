"""Where the time of an artifact goes, for a terminal."""

from collections.abc import Sequence

from tabulate import tabulate

from validate.profiling.accounts import Group, Layer
from validate.profiling.profile import Profile
from validate.result.cells import Cell, number
from validate.speed.contention import disturbed

_GROUPS = ("operator", "kernels", "ms", "share %", "GMACs", "GMAC/s", "of peak %")
_LAYERS = ("layer", "operator", "kind", "output", "ms", "share %", "GMACs", "GMAC/s", "of peak %")


def profile_lines(found: Profile, layers: int) -> str:
    """Return the operators, the `layers` slowest layers, and what they add up to."""
    slowest = found.layers[:layers]
    tables = [tabulate(map(_group, found.operators), _GROUPS, disable_numparse=True)]
    if slowest:
        tables.append(tabulate(map(_layer, slowest), _LAYERS, disable_numparse=True))
    return "\n\n".join([_title(found), *tables, "\n".join(_summary(found))])


def _title(found: Profile) -> str:
    pinning = "not pinned" if found.cpus is None else "pinned"
    plain = found.plain_ms
    return (
        f"{found.file}: input {'x'.join(map(str, found.shape))}, {plain.median:.1f} ms "
        f"({plain.p10:.1f}-{plain.p90:.1f}; {found.session_ms:.1f} under the profiler, to which "
        f"the shares refer), {found.rounds} runs; {found.machine['cpu']}, {found.threads} threads "
        f"{pinning}"
    )


def _summary(found: Profile) -> list[str]:
    lines = [f"int8 kernels: {found.int8_share:.1f} % of the time"]
    lines += [_reached(group, found.peaks.get(group.name)) for group in found.multiplying]
    others = not_multiplying(found)
    lines.append(
        f"not convolution or product: {sum(other.share for other in others):.1f} % ("
        + ", ".join(f"{other.name} {other.share:.1f}" for other in others)
        + f"); between kernels: {100 * found.between_ms / found.session_ms:.1f} %"
    )
    if found.found_macs != found.macs:
        lines.append(
            f"MACs: {found.found_macs / 1e9:.3f} G in kernels, {found.macs / 1e9:.3f} G in the file"
        )
    return lines + disturbed(found.others)


def not_multiplying(found: Profile) -> Sequence[Group]:
    """Return the operator types that have no MACs."""
    return [group for group in found.operators if not group.macs]


def _reached(group: Group, peak: float | None) -> str:
    of_peak = (
        "" if peak is None else f", {group.of_peak:.1f} % of {peak:.0f}, this machine's peak in it"
    )
    return (
        f"convolutions and products in {group.name}: {group.macs / 1e9:.3f} GMACs, "
        f"{group.ms:.2f} ms, {number(group.gmac_per_s, 1)} GMAC/s{of_peak}"
    )


def _group(one: Group) -> list[Cell]:
    return [one.name, one.kernels, number(one.ms, 2), number(one.share, 1), *_work(one)]


def _layer(one: Layer) -> list[Cell]:
    output = "x".join(map(str, one.output))
    times = [number(one.ms, 2), number(one.share, 1)]
    return [one.name, one.operator, one.kind, output, *times, *_work(one)]


def _work(one: Group | Layer) -> list[Cell]:
    macs = number(one.macs / 1e9, 3) if one.macs else "-"
    return [macs, number(one.gmac_per_s, 1), number(one.of_peak, 1)]
