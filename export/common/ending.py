"""End a process at once: the interpreter takes a second to unload torch's modules."""

import atexit
import os
import sys
from typing import NoReturn

LOST_OUTPUT = 120
"""The exit code with which Python ends where its output cannot be written."""


def end(code: int) -> NoReturn:
    """End with `code`, everything written and everything done that was left for the end.

    Only what Python would then do to free memory, the operating system does. Nothing of this
    without torch, when Python ends quickly by itself.
    """
    if "torch" not in sys.modules:
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = LOST_OUTPUT
    os._exit(code)
