"""How many random cases a test tries: few by default, 1,000 with `make numerical`."""

import os

CASES = int(os.environ.get("SEGPORT_NUMERICAL", "0"))


def cases(default: int) -> range:
    """Seeds of the cases; `SEGPORT_NUMERICAL=1000` tries that many instead of `default`."""
    return range(CASES or default)
