"""Count on a Ray cluster: the shards are a data set of Ray Data, the workers its pool of actors.

Ray restarts actors, also on other machines, and runs again what they were at. What it does not
know, a ledger tells: at which image an actor ended, and how often; Ray would try for ever.
"""

import pickle
from collections.abc import Iterator, Sequence

from validate.counting.engines import Note, Workers
from validate.counting.job import Job
from validate.counting.kept import Counts
from validate.counting.ray_actor import Ledger, ShardCounter
from validate.counting.ray_cluster import cluster, here
from validate.counting.shards import Shard


def run(
    job: Job, shards: Sequence[Shard], workers: Workers, note: Note
) -> Iterator[tuple[Shard, Counts]]:
    """Count with a pool of actors, one session per file in each.

    Raises RuntimeUnavailableError where Ray is not installed, or there is no cluster.
    """
    with cluster(workers, note) as ray:
        cores = int(ray.cluster_resources().get("CPU", 1))
        count = min(workers.count or max(1, cores // workers.threads), len(shards))
        ledger = ray.remote(Ledger).options(num_cpus=0, **here(ray)).remote()
        by_index = {shard.index: shard for shard in shards}
        rows = [{"index": shard.index, "shard": pickle.dumps(shard)} for shard in shards]
        counted = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            ShardCounter,
            fn_constructor_args=(job, workers.seconds, ledger),
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=workers.threads,
            num_gpus=workers.gpus or None,
        )
        for batch in counted.iter_batches(batch_size=None, prefetch_batches=0):
            for index, data in zip(batch["index"], batch["counts"], strict=True):
                for line in ray.get(ledger.news.remote()):
                    note(line)
                value = pickle.loads(data)
                if isinstance(value, Exception):
                    raise value
                yield by_index[int(index)], value
