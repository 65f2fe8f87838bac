"""Where the time of an artifact goes, for a terminal."""

from collections.abc import Sequence

from tabulate import tabulate

from validate.profiling.accounts import KernelGroup, ProfiledLayer
from validate.profiling.profile import Profile
from validate.result.cells import Cell, number
from validate.speed.contention import disturbed

_GROUPS = ("operator", "kernels", "ms", "share %", "GMACs", "GMAC/s", "of peak %")
_LAYERS = ("layer", "operator", "kind", "output", "ms", "share %", "GMACs", "GMAC/s", "of peak %")


def profile_lines(profile: Profile, layers: int) -> str:
    """Return the operators, the `layers` slowest layers, and what they add up to."""
    slowest = profile.layers[:layers]
    tables = [tabulate(map(_group, profile.operators), _GROUPS, disable_numparse=True)]
    if slowest:
        tables.append(tabulate(map(_layer, slowest), _LAYERS, disable_numparse=True))
    return "\n\n".join([_title(profile), *tables, "\n".join(_summary(profile))])


def _title(profile: Profile) -> str:
    pinning = "not pinned" if profile.cpus is None else "pinned"
    plain = profile.plain_ms
    return (
        f"{profile.file}: input {'x'.join(map(str, profile.shape))}, {plain.median:.1f} ms "
        f"({plain.p10:.1f}-{plain.p90:.1f}; {profile.session_ms:.1f} under the profiler, to which "
        f"the shares refer), {profile.rounds} runs; {profile.machine['cpu']}, {profile.threads} "
        f"threads {pinning}"
    )


def _summary(profile: Profile) -> list[str]:
    lines = [f"int8 kernels: {profile.int8_share:.1f} % of the time"]
    lines += [_reached(group, profile.peaks.get(group.name)) for group in profile.multiplying]
    others = not_multiplying(profile)
    lines.append(
        f"not convolution or product: {sum(other.share for other in others):.1f} % ("
        + ", ".join(f"{other.name} {other.share:.1f}" for other in others)
        + f"); between kernels: {100 * profile.between_ms / profile.session_ms:.1f} %"
    )
    if profile.found_macs != profile.macs:
        lines.append(
            f"MACs: {profile.found_macs / 1e9:.3f} G in kernels, "
            f"{profile.macs / 1e9:.3f} G in the file"
        )
    return lines + disturbed(profile.others)


def not_multiplying(profile: Profile) -> Sequence[KernelGroup]:
    """Return the operator types that have no MACs."""
    return [group for group in profile.operators if not group.macs]


def _reached(group: KernelGroup, peak: float | None) -> str:
    of_peak = (
        "" if peak is None else f", {group.of_peak:.1f} % of {peak:.0f}, this machine's peak in it"
    )
    return (
        f"convolutions and products in {group.name}: {group.macs / 1e9:.3f} GMACs, "
        f"{group.ms:.2f} ms, {number(group.gmac_per_s, 1)} GMAC/s{of_peak}"
    )


def _group(one: KernelGroup) -> list[Cell]:
    return [one.name, one.kernels, number(one.ms, 2), number(one.share, 1), *_work(one)]


def _layer(one: ProfiledLayer) -> list[Cell]:
    output = "x".join(map(str, one.output))
    times = [number(one.ms, 2), number(one.share, 1)]
    return [one.name, one.operator, one.kind, output, *times, *_work(one)]


def _work(one: KernelGroup | ProfiledLayer) -> list[Cell]:
    macs = number(one.macs / 1e9, 3) if one.macs else "-"
    return [macs, number(one.gmac_per_s, 1), number(one.of_peak, 1)]
