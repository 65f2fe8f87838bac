"""Run what pages show, in a folder that looks like a checkout after `make demo`."""

import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def workshop_in(folder: Path, demo: Path) -> Path:
    """Make `folder` look like a checkout after `make demo`, which wrote `demo`."""
    (folder / "runs").mkdir()
    (folder / "runs/demo").symlink_to(demo)
    for name in ("reports", "recipes"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").write_text("")
    return folder


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with Segport's commands, and `stubs` in the folder before all others."""
    path = f"{folder}/stubs:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
    )


def masked(text: str) -> list[str]:
    """The lines without what differs from run to run: figures, and widths that follow them.

    Nor with what a verdict says of its interval, and the table of what takes an int8 file's time,
    which hang on the machine's int8 arithmetic.
    """
    timeless = re.sub(r"^ms here .*\n(.*\n)*?others .*\n", "", text, flags=re.M)
    verdicts = re.sub(r"(; inconclusive)? \((95 % interval|other images).*", "", timeless)
    lines = [
        re.sub(r"-{2,}", "-", re.sub(r"[-+]?\d[\d.e-]*", "#", line))
        for line in verdicts.splitlines()
    ]
    return [" ".join(line.split()) for line in lines if line.strip()]
