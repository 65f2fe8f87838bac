"""A process that does tasks: `python -m export.workers.worker FD`.

FD is one end of a pipe. In come the work, then tasks, until the pipe is closed; out go READY, STEP
after every step, what is DONE, or the ERROR that ends it.
"""

import pickle
import sys
from multiprocessing.connection import Connection
from typing import Any

from export.common.ending import end
from export.common.quiet import quiet_libraries

READY, STEP, DONE, ERROR = "ready", "step", "done", "error"


def _serve(pipe: "Connection[Any, Any]") -> None:
    work = pipe.recv()
    with work.opened() as opened:
        pipe.send((READY, None))
        while True:
            task = pipe.recv()
            pipe.send((DONE, work.do(opened, task, lambda done, total: pipe.send((STEP, done)))))


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
