from pathlib import Path

import pytest

from quantize.calibration.cache import default_folder
from tests.segport.command import segport


def _fill(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "a.npz").write_bytes(bytes(1_500_000))
    (folder / "b.npz").write_bytes(bytes(500_000))
    (folder / "mine.txt").write_text("not a statistic")


def test_doctor_says_what_is_there_and_clears_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = default_folder()
    assert folder is not None
    _fill(folder)
    answer = segport("doctor", "--json")
    assert answer.code == 0
    assert answer.json["cache"] == f"{folder}, 2 files, 2.0 MB"
    assert float(answer.json["free memory"].removesuffix(" GB")) > 0
    assert {"segport", "python", "packages"} <= answer.json.keys()
    assert sorted(path.name for path in folder.iterdir()) == ["a.npz", "b.npz", "mine.txt"]

    cleared = segport("doctor", "--clear-cache")
    assert "cleared      2.0 MB" in cleared.out and "0 files, 0.0 MB" in cleared.out
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_doctor_bears_and_clears_a_link_that_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = default_folder()
    assert folder is not None
    _fill(folder)
    (tmp_path / "kept").write_text("theirs")
    (folder / "c.npz").symlink_to("nowhere")
    (folder / "d.npz").symlink_to(tmp_path / "kept")
    answer = segport("doctor", "--json")
    assert answer.code == 0 and "4 files" in answer.json["cache"]
    assert segport("doctor", "--clear-cache").code == 0
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    assert (tmp_path / "kept").read_text() == "theirs"


@pytest.mark.parametrize(
    "command", [[], ["quantize"], ["gate"], ["history"], ["history", "add"], ["doctor"]]
)
def test_h_is_help(command: list[str]) -> None:
    short, long = segport(*command, "-h"), segport(*command, "--help")
    assert (short.code, short.out) == (0, long.out)
    assert "Usage: segport" in short.out


def test_q_shows_no_progress_and_the_error_still(tmp_path: Path) -> None:
    command = ["quantize", tmp_path / "none.onnx", "--precision", "fp16", "-o", tmp_path / "out"]
    loud, quiet = segport(*command), segport("-q", *command)
    assert loud.code == quiet.code == 2
    assert "quantize fp16" in loud.err
    assert quiet.err == f"segport: {loud.errors[-1].removeprefix('segport: ')}\n"
    assert segport(*command).err != quiet.err  # of that one call only


def test_v_shows_the_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGPORT_TRACEBACK", "0")
    command = ["compare", tmp_path / "a.json", tmp_path / "b.json"]
    assert "Traceback" not in segport(*command).err
    answer = segport("-v", *command)
    assert answer.code == 2 and "Traceback" in answer.err
    assert answer.err.splitlines()[-1].startswith("segport: ")
