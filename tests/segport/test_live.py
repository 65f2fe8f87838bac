"""What somebody at a terminal sees: a real pseudo-terminal, and what is on it at every moment."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FRAME = re.compile(r"(?:\x1b\[\d*[A-HJK]|\r)+")
STYLE = re.compile(r"\x1b\[[\d;?]*[a-zA-Z]")
START = """
import time
from segport.progress import stages
with stages() as progress:
"""


def seen(script: str) -> tuple[list[str], list[list[str]]]:
    """Return the lines that stay, and the rows of every picture, of a script's progress."""
    ours, theirs = pty.openpty()
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "110", "LINES": "40",
    }  # fmt: skip
    indented = "".join(f"    {line}\n" for line in script.strip().splitlines())
    process = subprocess.Popen(
        [sys.executable, "-c", START + indented], stderr=theirs, env=environment
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            data = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        written += data
    os.close(ours)
    assert process.wait() == 0
    frames, stays = [], []
    for frame in FRAME.split(written.decode().replace("\r\n", "\n")):
        lines = [line.strip() for line in STYLE.sub("", frame).splitlines() if line.strip()]
        rows = [line for line in lines if re.search(r"\d:\d\d:\d\d|--:--", line)]
        stays += [line for line in lines if line not in rows]
        if rows:
            frames.append(rows)
    return stays, frames


def test_every_stage_has_a_row_with_its_speed_and_what_is_left() -> None:
    _, frames = seen("""
progress.stage("export")
time.sleep(0.2)
for done in range(11):
    progress("validate", done, 20)
    time.sleep(0.1)
""")
    export, validate = frames[-1]
    assert export.startswith("export") and "1/1" in export
    assert validate.startswith("validate") and "10/20" in validate
    (speed,) = re.findall(r"(\d+\.\d)/s", validate)
    assert 3 < float(speed) <= 10.5  # a tenth of a second each, more on a busy machine
    assert re.search(r"0:00:0[1-3]$", validate)  # as much again as it took


def test_what_was_lost_stays_above_and_the_rows_go() -> None:
    stays, frames = seen("""
progress("validate", 1, 20)
progress.note("a worker ended at image 12 (killed by signal 9); another takes over")
progress.note("tiny: mse: failed: no layer matches [x]")
progress("validate", 20, 20)
time.sleep(0.3)
""")
    assert stays == [
        "a worker ended at image 12 (killed by signal 9); another takes over",
        "tiny: mse: failed: no layer matches [x]",
    ]
    assert all(row.startswith("validate") for frame in frames for row in frame)


def test_of_many_stages_the_last_are_shown_each_once() -> None:
    _, frames = seen("""
for number in range(9):
    progress(f"cell {number}", 4, 4)
progress("cell 7", 1, 4)
time.sleep(0.3)
""")
    names = [row.split("  ")[0].split(" ━")[0] for row in frames[-1]]
    assert names == [f"cell {number}" for number in (3, 4, 5, 6, 8, 7)]
    assert "1/4" in frames[-1][-1]


@pytest.mark.parametrize("name", ["[red]x[/red]", "a" * 300])
def test_a_name_is_shown_as_it_is(name: str) -> None:
    _, frames = seen(f"""
progress({name!r}, 1, 2)
time.sleep(0.3)
""")
    (row,) = frames[-1]
    assert row.startswith(name[:30]) and "1/2" in row
