import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from export.common.child import in_child
from export.common.errors import CheckpointError, ExportError

CALLS = "tests.export.child_calls"


def _call(scratch: Path, function: str, *arguments: object) -> object:
    with in_child(scratch, f"{CALLS}:{function}", *arguments) as result:
        return result()


def test_the_call_happens_elsewhere_and_its_temporary_files_are_the_callers(tmp_path: Path) -> None:
    process, temporary, path = _call(tmp_path, "where")  # type: ignore[misc]
    assert process != os.getpid()
    assert temporary == tmp_path
    # what can be imported here can be there, and nothing else from where the user stands
    assert {entry or os.getcwd() for entry in sys.path} == set(path)  # noqa: PTH109


def test_an_error_arrives_as_it_was_with_a_note_where_it_came_from(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        _call(tmp_path, "refuse", "bad weights")
    assert str(caught.value) == "bad weights"
    (note,) = caught.value.__notes__
    assert "child_calls.py" in note and "in refuse" in note


def test_an_error_that_cannot_be_pickled_arrives_as_text(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="this and that"):
        _call(tmp_path, "fail")


@pytest.mark.parametrize(
    ("function", "said"),
    [("die", "killed by signal 9; perhaps memory ran out"), ("leave", "code 3")],
)
def test_a_child_that_dies_is_an_error_of_one_line(
    tmp_path: Path, function: str, said: str
) -> None:
    with pytest.raises(ExportError) as caught:
        _call(tmp_path, function)
    assert str(caught.value) == f"the process that exports ended early ({said})"


def test_ctrl_c_ends_the_child_and_what_it_started(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    with pytest.raises(KeyboardInterrupt), in_child(tmp_path, f"{CALLS}:linger", file):
        ids = _ids(file)
        raise KeyboardInterrupt
    _await(lambda: not any(map(_runs, ids)))


def test_the_child_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    code = (
        "import sys; from pathlib import Path; from export.common.child import in_child\n"
        f"with in_child(Path(sys.argv[1]), '{CALLS}:linger', Path(sys.argv[2])) as result: result()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(file)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    child, other = _ids(file)
    parent.kill()
    parent.wait()
    try:
        _await(lambda: not _runs(child))
    finally:
        os.kill(other, signal.SIGKILL)


def _ids(file: Path) -> list[int]:
    _await(file.exists)
    return [int(part) for part in file.read_text().split()]


def _await(condition: object, seconds: float = 30) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not within half a minute"
        time.sleep(0.05)


def _runs(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
