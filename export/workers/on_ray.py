"""Do tasks on a Ray cluster: they are a data set of Ray Data, the workers its pool of actors.

Ray restarts actors, also on other machines, and runs again what they were at. What it does not
know, a ledger tells: at which step an actor ended, and how often; Ray would try for ever.
"""

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from export.common.errors import RuntimeUnavailableError, first_line
from export.workers.engines import Note, Workers
from export.workers.ray_actor import Doer, Ledger
from export.workers.ray_cluster import cluster, here
from export.workers.work import Task, Work


def run(
    work: Work, tasks: Sequence[Task], workers: Workers, note: Note
) -> Iterator[tuple[Task, Any]]:
    """Work with a pool of actors, each of which opens what it needs once.

    Raises RuntimeUnavailableError where Ray is not installed, or there is no cluster.
    """
    with cluster(workers, note) as ray:
        cores = int(ray.cluster_resources().get("CPU", 1))
        count = min(workers.count or max(1, cores // workers.threads), len(tasks))
        ledger = ray.remote(Ledger).options(num_cpus=0, **here(ray)).remote()
        by_index = {task.index: task for task in tasks}
        rows = [{"index": task.index, "task": pickle.dumps(task)} for task in tasks]
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Doer,
            fn_constructor_args=(work, workers.seconds, ledger),
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=4),
            num_cpus=workers.threads,
            num_gpus=workers.gpus or None,
        )
        batches = iter(done.iter_batches(batch_size=None, prefetch_batches=0))
        try:
            for batch in batches:
                for index, data in zip(batch["index"], batch["done"], strict=True):
                    for line in ray.get(ledger.news.remote()):
                        note(line)
                    value = pickle.loads(data)
                    if isinstance(value, Exception):
                        raise value
                    yield by_index[int(index)], value
        except ray.exceptions.RayError as error:
            raise RuntimeUnavailableError(
                f"--engine ray: the cluster failed ({first_line(error)}); what was done is kept, "
                "and the same command goes on"
            ) from error
        finally:
            # threads of Ray Data that use Ray after its end would end the process with code 1
            ray.get(ledger.stop.remote())
            for _ in batches:
                pass
