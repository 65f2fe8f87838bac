"""Minimum cuts by hand."""

from itertools import product
from random import Random

from quantize.partition.cut import INFINITE, Cut


def made(edges: dict[tuple[str, str], int]) -> Cut:
    cut = Cut()
    for (start, end), capacity in edges.items():
        cut.edge(start, end, capacity)
    return cut


def test_a_dear_conversion_keeps_neighbours_together() -> None:
    # alone "a" would go to the source (3 < 5) and "b" to the sink (4 < 6); apart they cost 10 more
    edges = {(Cut.SOURCE, "a"): 5, ("a", Cut.SINK): 3, (Cut.SOURCE, "b"): 4, ("b", Cut.SINK): 6}
    assert made(edges).sink_side() == {Cut.SINK, "b"}
    together = made(edges | {("a", "b"): 10})  # both sink: 9, both source: 9, apart: 17
    assert together.sink_side() in ({Cut.SINK}, {Cut.SINK, "a", "b"})


def test_what_is_tied_to_the_sink_stays_there() -> None:
    edges = {(Cut.SOURCE, "a"): 100, ("a", "b"): 7, ("b", Cut.SINK): INFINITE}
    assert made(edges).sink_side() == {Cut.SINK, "b"}


def test_no_split_is_cheaper() -> None:
    """Against all 2^6 splits of random networks."""
    draw = Random(0)
    for _ in range(30):
        names = [Cut.SOURCE, *"abcdef", Cut.SINK]
        edges = {(s, e): draw.randrange(20) for s in names for e in names if s != e}

        def price(sink: set[str], edges: dict[tuple[str, str], int] = edges) -> int:
            return sum(c for (s, e), c in edges.items() if s not in sink and e in sink)

        found = {str(vertex) for vertex in made(edges).sink_side()}
        splits = product((False, True), repeat=6)
        sinks = [
            {Cut.SINK, *(n for n, in_ in zip("abcdef", s, strict=True) if in_)} for s in splits
        ]
        assert price(found) == min(map(price, sinks))
