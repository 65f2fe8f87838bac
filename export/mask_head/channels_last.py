"""Resize and ArgMax with the classes innermost, where they are read one after the other."""

from export.mask_head.nodes import Nodes
from export.mask_head.tail import Tail


def channels_last(tail: Tail) -> Nodes:
    """The same three nodes behind a Transpose of the small logits."""
    made = Nodes()
    batch, classes = tail.shape[:2]
    logits = made.add("Transpose", tail.logits, perm=[0, 2, 3, 1])
    large = made.add(
        "Resize",
        logits,
        "",
        "",
        made.constant([batch, *tail.size, classes]),
        mode="linear",
        coordinate_transformation_mode=tail.mode,
    )
    best = made.add("ArgMax", large, axis=3, keepdims=0)
    made.add("Cast", best, output=tail.mask, to=tail.to)
    return made
