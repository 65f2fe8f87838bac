"""Run the installed `segport` in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(sys.executable).with_name("segport")
Finished = subprocess.CompletedProcess[str]


def process(*command: object, **environment: object) -> Finished:
    """What a command answers, started from a folder that has nothing to do with Segport."""
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        cwd="/",
        check=False,
    )


def answers(*command: object) -> None:
    """Run a command that has to end well."""
    answer = process(*command)
    assert answer.returncode == 0, answer.stderr
