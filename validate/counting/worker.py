"""A process that counts shards: `python -m validate.counting.worker FD`.

FD is one end of a pipe. In come the job, then shards, until the pipe is closed; out go READY, IMAGE
after every image, the COUNTS of a shard, or the ERROR that ends it.
"""

import pickle
import sys
from multiprocessing.connection import Connection
from typing import Any

from export.common.ending import end
from export.common.quiet import quiet_libraries
from validate.counting.job import Job

READY, IMAGE, COUNTS, ERROR = "ready", "image", "counts", "error"


def _serve(pipe: "Connection[Any, Any]") -> None:
    job = pipe.recv()
    assert isinstance(job, Job)
    with job.opened() as runtimes:
        pipe.send((READY, None))
        while True:
            shard = pipe.recv()
            counts = job.count(runtimes, shard, lambda done, total: pipe.send((IMAGE, done)))
            pipe.send((COUNTS, counts))


def portable(error: Exception) -> Exception:
    """Return `error`, or what it says where it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever a foreign class makes of it
        return RuntimeError(str(error))
    return error


def _main() -> None:
    quiet_libraries()
    pipe = Connection(int(sys.argv[1]))
    try:
        _serve(pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):  # nobody has more work
        end(0)
    except Exception as error:
        pipe.send((ERROR, portable(error)))
        end(1)


if __name__ == "__main__":
    _main()
