"""How many random cases a test tries: few by default, 20 times as many in `make numerical`."""

import os

TIMES = int(os.environ.get("SEGPORT_NUMERICAL", "1"))


def cases(default: int) -> range:
    """Seeds of the cases; `SEGPORT_NUMERICAL=20` tries 20 times `default`."""
    return range(default * TIMES)
