"""What tests have a child process do."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from export.common.errors import CheckpointError


class _ForeignError(Exception):
    """Takes two arguments, so that it cannot be unpickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


def where() -> tuple[int, Path, list[str]]:
    """Return the process, its folder for temporary files, and where it looks for modules."""
    return os.getpid(), Path(tempfile.gettempdir()), sys.path


def refuse(text: str) -> None:
    raise CheckpointError(text)


def fail() -> None:
    raise _ForeignError("this", "that")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(3)


def linger(file: Path) -> None:
    """Write the ids of this process and of one that it started, and go on for a minute."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    file.with_suffix(".partial").write_text(f"{os.getpid()} {other.pid}")
    file.with_suffix(".partial").rename(file)
    time.sleep(60)
