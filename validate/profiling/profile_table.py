"""Where the time of an artifact goes, for a terminal."""

from collections.abc import Sequence

from tabulate import tabulate

from validate.profiling.accounts import KernelGroup, ProfiledLayer
from validate.profiling.profile import Profile
from validate.result.cells import Cell, number
from validate.speed.contention import disturbed

Table = tuple[list[str], list[list[Cell]]]
_GROUPS = (
    "operator", "kernels", "ms", "share %", "GMACs", "GMAC/s", "of peak %", "roof ms"
)  # fmt: skip
_LAYERS = (
    "layer", "operator", "kind", "output", "ms", "share %", "GMACs", "GMAC/s", "of peak %",
    "roof ms", "set by",
)  # fmt: skip


def profile_lines(profile: Profile, layers: int) -> str:
    """Return the operators, the `layers` slowest layers, and what they add up to."""
    tables = [operator_table(profile), layer_table(profile, layers)]
    shown = [tabulate(rows, head, disable_numparse=True) for head, rows in tables if rows]
    return "\n\n".join([title(profile), *shown, "\n".join(summary(profile))])


def operator_table(profile: Profile) -> Table:
    """Return head and rows of the operator types, the slowest first."""
    return list(_GROUPS), [_group(one) for one in profile.operators]


def layer_table(profile: Profile, layers: int) -> Table:
    """Return head and rows of the `layers` slowest layers."""
    return list(_LAYERS), [_layer(one) for one in profile.layers[:layers]]


def title(profile: Profile) -> str:
    """Return what was measured, on what."""
    pinning = "not pinned" if profile.cpus is None else "pinned"
    plain = profile.plain_ms
    return (
        f"{profile.file}: input {'x'.join(map(str, profile.shape))}, {plain.median:.1f} ms "
        f"({plain.p10:.1f}-{plain.p90:.1f}; {profile.session_ms:.1f} under the profiler, to which "
        f"the shares refer), {profile.rounds} runs; {profile.machine['cpu']}, {profile.threads} "
        f"threads {pinning}"
    )


def summary(profile: Profile) -> list[str]:
    """Return in lines what the kernels add up to, and what could be gained."""
    lines = [f"int8 kernels: {profile.int8_share:.1f} % of the time"]
    lines += [_reached(group, profile.peaks.get(group.name)) for group in profile.multiplying]
    others = not_multiplying(profile)
    lines.append(
        f"not convolution or product: {sum(other.share for other in others):.1f} % ("
        + ", ".join(f"{other.name} {other.share:.1f}" for other in others)
        + f"); between kernels: {100 * profile.between_ms / profile.session_ms:.1f} %"
    )
    lines.append(roofline_reading(profile))
    if profile.found_macs != profile.macs:
        lines.append(
            f"MACs: {profile.found_macs / 1e9:.3f} G in kernels, "
            f"{profile.macs / 1e9:.3f} G in the file"
        )
    return lines + disturbed(profile.others)


def roofline_reading(profile: Profile) -> str:
    """Return in a sentence what the machine's limits leave to be gained, and where the most is."""
    roof = sum(layer.roof_ms for layer in profile.layers)
    group = max(profile.operators, key=lambda group: group.gap_ms)
    layer = max(profile.layers, key=lambda layer: layer.gap_ms)
    speeds = profile.bandwidths.values()
    return (
        f"roofline: at these peaks and {min(speeds):.0f} to {max(speeds):.0f} GB/s the kernels "
        f"would take {roof:.2f} ms; most of the rest is in {group.name}: {group.gap_ms:.2f} of "
        f"{group.ms:.2f} ms, and of one layer in {layer.name} ({layer.operator}): "
        f"{layer.gap_ms:.2f} of {layer.ms:.2f} ms"
    )


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
    return [one.name, one.operator, one.kind, output, *times, *_work(one), one.bound_by]


def _work(one: KernelGroup | ProfiledLayer) -> list[Cell]:
    macs = number(one.macs / 1e9, 3) if one.macs else "-"
    speed = [number(one.gmac_per_s, 1), number(one.of_peak, 1)]
    return [macs, *speed, number(one.roof_ms, 2)]
