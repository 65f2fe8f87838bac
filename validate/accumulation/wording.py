"""What a report says of float16 sums, in words."""

from validate.result.facts import AccumulationFacts, SumFacts

_MUCH = 1.0
"""Points of agreement by which a network that broke differs from its own float32 sums."""
_HOW = {
    "sequential": "added up one after the other in float16",
    "pairwise": "added up in pairs in float16",
}


def survives(facts: AccumulationFacts, one: SumFacts) -> bool:
    """Whether a network gives finite logits and nearly the masks of its float32 sums."""
    float32 = facts.sums[0]
    return (
        one.nonfinite_images <= float32.nonfinite_images
        and float32.agreement - one.agreement <= _MUCH
    )


def accumulation_warnings(facts: AccumulationFacts) -> list[str]:
    """Say which orders break the network, through which layer, and what to do."""
    orders = facts.sums[1:]
    broken = [one for one in orders if not survives(facts, one)]
    if not broken:
        return []
    sound = [one for one in orders if one not in broken]
    if sound:
        what = f"survives sums {_HOW[sound[0].order]}, but not {_HOW[broken[0].order]}"
    else:
        what = "does not survive sums in float16, in whatever order"
    return [f"{what}: {'; '.join(map(_broken, broken))}; {_advice(broken)}"]


def _broken(one: SumFacts) -> str:
    overflow = f", {len(one.overflowed)} layers pass 65504" if one.overflowed else ""
    return (
        f"{one.order} agrees on {one.agreement:.2f} % of pixels{overflow} (worst layer "
        f"{one.worst_layer}, {one.worst_terms} terms)"
    )


def _advice(broken: list[SumFacts]) -> str:
    layers = list(dict.fromkeys([*broken[0].overflowed, broken[0].worst_layer]))[:4]
    kept = " ".join(f"--keep-float {layer}" for layer in layers)
    return f"use hardware that adds up in float32, or quantize again with {kept}"


def accumulation_notes(facts: AccumulationFacts) -> list[str]:
    """Say how much the order of sums changes, and what is known of layers not emulated."""
    said = ", ".join(f"{one.order} {_reached(one)}" for one in facts.sums)
    notes = [
        f"sums in float16 ({facts.layers} layers with {100 * facts.macs_share:.0f} % of MACs "
        f"emulated, {facts.images} images): {said}"
    ]
    if rest := facts.rest:
        bounds = " and ".join(
            f"{_HOW[order]} {'without bound' if bound is None else f'by at most {bound:.2g} %'}"
            for order, bound in rest.bounds.items()
        )
        overflow = (
            f"{len(rest.may_overflow)} of them could pass 65504, such as {rest.may_overflow[0]}"
            if rest.may_overflow
            else "none can pass 65504"
        )
        notes.append(
            f"{rest.layers} more layers, of {rest.longest} terms at most, change {bounds} of "
            f"their largest value; {overflow}"
        )
    return notes


def _reached(one: SumFacts) -> str:
    miou = "" if one.miou is None else f"mIoU {one.miou:.2f}, "
    return f"{miou}agreement {one.agreement:.2f} %"
