"""Count in this process."""

from collections.abc import Iterator, Sequence

from validate.counting.engines import Note, Workers
from validate.counting.job import Job
from validate.counting.kept import Counts
from validate.counting.shards import Shard


def run(
    job: Job, shards: Sequence[Shard], workers: Workers, note: Note
) -> Iterator[tuple[Shard, Counts]]:
    """Count one shard after the other."""
    with job.opened() as runtimes:
        for shard in shards:
            yield shard, job.count(runtimes, shard)
