"""Count slowly in a process that a test may kill: `python -m tests.validate.counting.driver FILE`.

FILE is a pickle of the arguments of `count` but the progress.
"""

import pickle
import sys
from pathlib import Path

from export.common.progress import SILENT
from validate.counting.sharded import count

if __name__ == "__main__":
    count(*pickle.loads(Path(sys.argv[1]).read_bytes()), SILENT)
