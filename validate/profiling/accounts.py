"""Times and MACs of kernels, summed up and set against the machine's peak."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from validate.profiling.kernels import Kernel
from validate.profiling.roofline import Limits, roof_of


@dataclass(frozen=True)
class ProfiledLayer:
    """A kernel: `name` is the file's layer where onnxruntime's name leads to one, else its own.

    `ms` is its time, `share` that of the session's, 0-100. `gmac_per_s` and `of_peak` (0-100, of
    the peak for its kind) are None for kernels without MACs. `computed_macs`, which `of_peak` is
    about, are less than `macs` where the kernel leaves out products with padding. `roof_ms` is
    what it would take at the machine's limits, set by `bound_by` (see `roofline`).
    """

    name: str
    operator: str
    kind: str
    output: tuple[int, ...]
    ms: float
    share: float
    macs: int
    computed_macs: int
    gmac_per_s: float | None
    of_peak: float | None
    bytes: int
    roof_ms: float
    bound_by: str

    @property
    def gap_ms(self) -> float:
        """What it takes beyond its roof, ms."""
        return max(0.0, self.ms - self.roof_ms)


@dataclass(frozen=True)
class KernelGroup:
    """All kernels of one operator type or one kind; `gap_ms` is what they take beyond roofs."""

    name: str
    kernels: int
    ms: float
    share: float
    macs: int
    gmac_per_s: float | None
    of_peak: float | None
    roof_ms: float
    gap_ms: float


def layer_entry(
    kernel: Kernel,
    name: str | None,
    macs: int,
    computed_macs: int,
    moved: int,
    session_ms: float,
    limits: Limits,
) -> ProfiledLayer:
    """Set one kernel, which moves so many bytes, against its session's time and the limits."""
    peak = limits.peaks.get(kernel.kind)
    speed, of_peak = achieved(macs, computed_macs, kernel.ms, peak)
    roof = roof_of(computed_macs, peak, moved, limits.bandwidths)
    return ProfiledLayer(
        name=name or kernel.name,
        operator=kernel.operator,
        kind=kernel.kind,
        output=kernel.output,
        ms=round(kernel.ms, 4),
        share=round(100 * kernel.ms / session_ms, 2),
        macs=macs,
        computed_macs=computed_macs,
        gmac_per_s=speed,
        of_peak=of_peak,
        bytes=moved,
        roof_ms=round(roof.ms, 4),
        bound_by=roof.by,
    )


def groups(
    layers: Iterable[ProfiledLayer],
    key: Callable[[ProfiledLayer], str],
    session_ms: float,
    peaks: Mapping[str, float],
) -> tuple[KernelGroup, ...]:
    """Sum layers up by `key`, the slowest group first."""
    grouped: dict[str, list[ProfiledLayer]] = {}
    for layer in layers:
        grouped.setdefault(key(layer), []).append(layer)
    kernel_groups = [_group(name, members, session_ms, peaks) for name, members in grouped.items()]
    return tuple(sorted(kernel_groups, key=lambda group: -group.ms))


def _group(
    name: str, members: Sequence[ProfiledLayer], session_ms: float, peaks: Mapping[str, float]
) -> KernelGroup:
    ms, macs = sum(layer.ms for layer in members), sum(layer.macs for layer in members)
    kinds = {layer.kind for layer in members}
    peak = peaks.get(kinds.pop()) if len(kinds) == 1 else None
    computed = sum(layer.computed_macs for layer in members)
    speed, of_peak = achieved(macs, computed, ms, peak)
    share = round(100 * ms / session_ms, 2)
    roof_ms, gap_ms = (
        round(sum(values), 3)
        for values in ([m.roof_ms for m in members], [m.gap_ms for m in members])
    )
    return KernelGroup(
        name, len(members), round(ms, 3), share, macs, speed, of_peak, roof_ms, gap_ms
    )


def achieved(
    macs: int, computed: int, ms: float, peak: float | None
) -> tuple[float | None, float | None]:
    """Return GMAC/s and what percent of `peak` (GMAC/s) the `computed` of them are.

    None without MACs, time or a peak.
    """
    if not macs or not ms:
        return None, None
    of_peak = round(100 * computed / ms / 1e6 / peak, 2) if peak else None
    return round(macs / ms / 1e6, 2), of_peak
