"""Times and MACs of kernels, summed up and set against the machine's peak."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from validate.profiling.kernels import Kernel


@dataclass(frozen=True)
class ProfiledLayer:
    """A kernel: `name` is the file's layer where onnxruntime's name leads to one, else its own.

    `ms` is its time, `share` that of the session's, 0-100. `gmac_per_s` and `of_peak` (0-100, of
    the peak for its kind) are None for kernels without MACs. `computed_macs`, which `of_peak` is
    about, are less than `macs` where the kernel leaves out products with padding.
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


@dataclass(frozen=True)
class KernelGroup:
    """All kernels of one operator type or one kind."""

    name: str
    kernels: int
    ms: float
    share: float
    macs: int
    gmac_per_s: float | None
    of_peak: float | None


def layer_entry(
    kernel: Kernel,
    name: str | None,
    macs: int,
    computed_macs: int,
    session_ms: float,
    peaks: Mapping[str, float],
) -> ProfiledLayer:
    """Set one kernel against its session's time and the peak of its kind, GMAC/s."""
    speed, of_peak = achieved(macs, computed_macs, kernel.ms, peaks.get(kernel.kind))
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
    return KernelGroup(name, len(members), round(ms, 3), share, macs, speed, of_peak)


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
