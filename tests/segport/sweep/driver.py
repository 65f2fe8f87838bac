"""`segport` with faulty cells in a process that a test may kill: `python -m ... WORDS`."""

import pytest

from segport.cli import main
from tests.segport.sweep.faulty_cells import FaultyWork

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segport.sweep.making.CellWork", FaultyWork)
        main()
