"""Count on a Ray cluster: the shards are a data set of Ray Data, the workers its pool of actors.

Ray restarts actors, also on other machines, and runs again what they were at. What it does not
know, a ledger tells: at which image an actor ended, and how often; Ray would try for ever.
"""

import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from export.common.errors import RuntimeUnavailableError, first_line
from export.ort.sessions import threads
from validate.counting.engines import Note, Workers
from validate.counting.job import Job
from validate.counting.kept import Counts
from validate.counting.ray_actor import Ledger, ShardCounter
from validate.counting.shards import Shard

EXTRA = "--engine ray needs Ray: pip install 'segport[ray]', or use --engine processes"


def run(
    job: Job, shards: Sequence[Shard], workers: Workers, note: Note
) -> Iterator[tuple[Shard, Counts]]:
    """Count with a pool of actors, one session per file in each.

    Raises RuntimeUnavailableError where Ray is not installed, or there is no cluster.
    """
    with _cluster(workers, note) as ray:
        cores = int(ray.cluster_resources().get("CPU", 1))
        count = min(workers.count or max(1, cores // workers.threads), len(shards))
        ledger = ray.remote(Ledger).options(num_cpus=0, **_here(ray)).remote()
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


@contextmanager
def _cluster(workers: Workers, note: Note) -> Iterator[Any]:
    """Give Ray, connected to a cluster, or to one of this machine that ends with the block."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise RuntimeUnavailableError(EXTRA) from error
    if ray.is_initialized():  # the caller's own
        yield ray
        return
    alone: dict[str, Any] = {}
    if workers.address is None:
        alone = {"num_cpus": max(threads(), (workers.count or 1) * workers.threads)}
    try:
        context = ray.init(
            address=workers.address or "local",
            log_to_driver=False,
            logging_level="ERROR",
            include_dashboard=None if workers.address else False,
            runtime_env={"env_vars": {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}},
            **alone,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise RuntimeUnavailableError(
            f"--address {workers.address or 'of this machine'}: no cluster ({first_line(error)})"
        ) from error
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    settings = ray.data.DataContext.get_current()
    settings.enable_progress_bars = False
    if context.dashboard_url:
        note(f"Ray's dashboard: http://{context.dashboard_url}")
    try:
        yield ray
    finally:
        ray.shutdown()


def _here(ray: Any) -> dict[str, Any]:
    """Return what keeps an actor on the machine of the driver, with which all ends anyway."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = ray.get_runtime_context().get_node_id()
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=True)}
