"""The cheapest of all ways to split a graph in two: a minimum cut, by Dinic's algorithm."""

from collections import defaultdict, deque
from collections.abc import Hashable

INFINITE = 10**15


class Cut:
    """A network of edges with whole-numbered capacities between `SOURCE` and `SINK`."""

    SOURCE, SINK = "source of the cut", "sink of the cut"

    def __init__(self) -> None:
        self._left: dict[Hashable, dict[Hashable, int]] = defaultdict(dict)

    def edge(self, start: Hashable, end: Hashable, capacity: int) -> None:
        """Add what it costs to have `start` on the source's side and `end` on the sink's."""
        self._left[start][end] = self._left[start].get(end, 0) + capacity
        self._left[end].setdefault(start, 0)

    def sink_side(self) -> set[Hashable]:
        """Return the vertices on the sink's side of the cheapest cut; the fewest, if several."""
        while levels := self._levels():
            edges = {vertex: deque(ends) for vertex, ends in self._left.items()}
            while path := self._path(levels, edges):
                flow = min(self._left[start][end] for start, end in path)
                for start, end in path:
                    self._left[start][end] -= flow
                    self._left[end][start] += flow
        reached: set[Hashable] = {self.SINK}
        waiting = deque[Hashable]([self.SINK])
        while waiting:
            end = waiting.popleft()
            for start in self._left[end]:
                if start not in reached and self._left[start][end]:
                    reached.add(start)
                    waiting.append(start)
        return reached

    def _levels(self) -> dict[Hashable, int]:
        """Return how far each vertex is from the source; nothing when the sink is out of reach."""
        levels: dict[Hashable, int] = {self.SOURCE: 0}
        waiting = deque[Hashable]([self.SOURCE])
        while waiting:
            start = waiting.popleft()
            for end, left in self._left[start].items():
                if left and end not in levels:
                    levels[end] = levels[start] + 1
                    waiting.append(end)
        return levels if self.SINK in levels else {}

    def _path(
        self, levels: dict[Hashable, int], edges: dict[Hashable, "deque[Hashable]"]
    ) -> list[tuple[Hashable, Hashable]]:
        """Return the edges of a way to the sink, each a level further; edges tried are dropped."""
        path: list[tuple[Hashable, Hashable]] = []
        vertex: Hashable = self.SOURCE
        while vertex != self.SINK:
            while edges[vertex]:
                end = edges[vertex][0]
                if self._left[vertex][end] and levels.get(end) == levels[vertex] + 1:
                    break
                edges[vertex].popleft()
            if edges[vertex]:
                path.append((vertex, edges[vertex][0]))
                vertex = edges[vertex][0]
            elif path:
                vertex = path.pop()[0]
                edges[vertex].popleft()
            else:
                return []
        return path
