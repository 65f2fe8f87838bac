import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from export.common.errors import ArtifactError
from export.common.files import alone_in, check_writable, new_files, sha256_of

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}


def test_sha256(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")

    # FIPS 180-2, appendix B.1
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(file) == wanted == hashlib.sha256(b"abc").hexdigest()


def test_files_appear_together_in_a_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    left, right = folder / "a.onnx", folder / "a.json"

    with new_files(left, right) as (first, second):
        first.write_text("one")
        second.write_text("two")
        assert not left.exists()
        assert first.parent.parent == folder  # the same file system, so that renaming works

    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "a.onnx"]
    assert (left.read_text(), right.read_text()) == ("one", "two")


def test_an_error_in_the_block_leaves_older_files_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    with pytest.raises(KeyError), new_files(tmp_path / "a", tmp_path / "b") as (first, _):
        first.write_text("new")
        raise KeyError("stop")

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_all_or_none_also_when_renaming_fails(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()  # a file cannot take a folder's place

    with (
        pytest.raises(ArtifactError, match="cannot write"),
        new_files(tmp_path / "a", tmp_path / "b") as (first, second),
    ):
        first.write_text("one")
        second.write_text("two")

    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_older_files_survive_when_renaming_fails(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()

    with (
        pytest.raises(ArtifactError, match="cannot write"),
        new_files(tmp_path / "a", tmp_path / "b") as (first, second),
    ):
        first.write_text("new")
        second.write_text("new")

    assert (tmp_path / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_forgotten_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError), new_files(tmp_path / "a", tmp_path / "b") as (_, second):
        second.write_text("two")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["file", "file/deeper", "file/much/deeper"])
def test_folder_below_a_file(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("I am in the way")
    folder = tmp_path / below

    with pytest.raises(ArtifactError) as early:
        check_writable(folder)
    with pytest.raises(ArtifactError) as late, new_files(folder / "a"):
        pass

    for caught in (early, late):
        assert str(caught.value).startswith(f"cannot write to {folder}: ")
        assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "I am in the way"


def test_permission_is_asked_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere

    with pytest.raises(ArtifactError, match=r"permission denied; choose another folder with -o"):
        check_writable(tmp_path / "new")


def test_a_folder_that_can_be_made_is_not_made_yet(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".segport-left"
    left.mkdir()
    (left / "half.onnx").write_bytes(b"half")
    with new_files(tmp_path / "a") as (first,):
        first.write_text("new")
    assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_another_process_works_on_stays(tmp_path: Path) -> None:
    with new_files(tmp_path / "slow") as (slow,):
        with new_files(tmp_path / "a") as (first,):
            first.write_text("new")
        slow.write_text("done")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "slow"]


def test_a_scratch_folder_that_is_taken_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tempfile.mkdtemp
    taken = []

    def make(*arguments: object, **named: object) -> str:
        path: str = made(*arguments, **named)  # type: ignore[call-overload]
        if not taken:
            taken.append(path)
            Path(path).rmdir()
        return path

    monkeypatch.setattr(tempfile, "mkdtemp", make)
    with new_files(tmp_path / "a") as (first,):
        first.write_text("new")
    assert taken
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_older_files_are_replaced_where_hard_links_are_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    with pytest.raises(ArtifactError), new_files(tmp_path / "a", tmp_path / "b") as (first, second):
        first.write_text("new")
        second.write_text("new")
    assert (tmp_path / "a").read_text() == "old"
    with new_files(tmp_path / "a") as (first,):
        first.write_text("new")
    assert (tmp_path / "a").read_text() == "new"


def _interrupt(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Have the `number`th renaming interrupted, before it does anything."""
    replace, calls = Path.replace, []

    def interrupted(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == number:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)


@pytest.mark.parametrize("number", [1, 2])
def test_an_interrupt_between_two_renames_brings_the_older_files_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for name in "ab":
        (tmp_path / name).write_text("old")
    _interrupt(monkeypatch, number)
    with (
        pytest.raises(KeyboardInterrupt),
        new_files(tmp_path / "a", tmp_path / "b") as (first, second),
    ):
        first.write_text("new")
        second.write_text("new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old", "b": "old"}


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_kill_between_two_renames_never_leaves_the_first_beside_another_files_second(
    tmp_path: Path, number: int, older: bool
) -> None:
    if older:
        for name in "ab":
            (tmp_path / name).write_text("old")
    code = f"""
import os, signal
from pathlib import Path
from export.common.files import new_files
replace, calls = Path.replace, []
def killed(self, target):
    calls.append(target)
    if len(calls) == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = killed
with new_files(Path("a"), Path("b")) as (first, second):
    first.write_text("new")
    second.write_text("new")
"""
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT)
    assert answer.returncode == (-9 if number < 3 else 0)
    found = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert "a" not in found or found["a"] == found["b"] == "new"
    with new_files(tmp_path / "c") as (third,):
        third.write_text("")
    assert {path.name for path in tmp_path.iterdir()} == {*found, "c"}  # scratch is gone


def test_the_umask_is_respected(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with new_files(tmp_path / "new/a") as (first,):
            first.write_text("new")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "new/a").stat().st_mode & 0o777 == 0o640


def test_one_process_at_a_time_is_alone_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "made/for it"
    with (
        alone_in(folder),
        pytest.raises(ArtifactError, match=f"^{folder}: another run writes to it"),
        alone_in(folder),
    ):
        pass
    assert list(tmp_path.iterdir()) == []  # nothing was written
    with alone_in(folder):
        (folder / "file").write_text("")
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_a_lock_that_a_killed_process_left_is_none(tmp_path: Path) -> None:
    (tmp_path / ".segport-run").mkdir()
    with alone_in(tmp_path), new_files(tmp_path / "a") as (first,):
        first.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
