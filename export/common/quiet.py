"""Keep what libraries tell developers off a user's terminal, where an error is one line."""

import logging
import sys
import warnings


def quiet_libraries() -> None:
    """Show neither Python's warnings nor libraries' log records in this process.

    Pillow warns of odd tags in a TIFF, matplotlib of a home that it cannot write. Whoever asks
    Python for warnings (`-W`, PYTHONWARNINGS) sees them.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # else Python prints what nobody takes
