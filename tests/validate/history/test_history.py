"""Results by commit: kept once, by many writers, and where a series broke."""

import json
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.segport.command import segport
from tests.validate.results import lost, result_of
from validate.history.series import Break, breaks
from validate.history.store import read_points


def _write(path: Path, drop: float, name: str = "net") -> Path:
    path.write_text(result_of(lost("fp32", 0), lost("int8", drop), name=name).to_json())
    return path


def test_planted_series_by_hand() -> None:
    assert breaks([70.0] * 9, 0.2) == breaks([], 0.2) == breaks([None, 1.0], 0.2) == []
    assert breaks([70, 70, 69.8, 70], 0.2) == []  # just the tolerance
    (step,) = breaks([70, 70, 70, 69, 69, 69], 0.2)
    assert step == Break(3, pytest.approx(-1.0), False)
    dip = breaks([70, 70, 70, 66, 70, 70, 70], 0.2)
    assert [(one.index, one.change) for one in dip] == [(3, -4), (4, 4)]
    drift = breaks([70 - 0.05 * n for n in range(10)], 0.2)
    assert [(one.index, one.gradual) for one in drift] == [(5, True)]
    assert [one.index for one in breaks([70, None, 69], 0.2)] == [2]


def test_noise_breaks_nothing_and_a_step_in_it_does() -> None:
    alarms = found = 0
    for seed in range(100):
        noise = random.Random(seed)
        values = [70 + noise.gauss(0, 0.3) for _ in range(40)]
        alarms += bool(breaks(values, 0.2))
        stepped = [value - 4 * (index >= 20) for index, value in enumerate(values)]
        found += [one.index for one in breaks(stepped, 0.2)][:1] == [20]
    assert alarms <= 5 and found >= 95


def test_a_result_is_kept_once_and_shown_in_the_order_of_dates(tmp_path: Path) -> None:
    database = tmp_path / "h.db"
    late, early = _write(tmp_path / "b.json", 1.4), _write(tmp_path / "a.json", 0.4)
    for file, commit, date in ((late, "bbb", "2026-02-01"), (early, "aaa", "2026-01-01")):
        added = segport("history", "add", database, file, "--commit", commit, "--date", date)
        assert added.code == 0 and "3 figures" in added.out
    again = segport("history", "add", database, late, "--commit", "bbb", "--json")
    assert again.json["added"] == 0
    document = segport("history", "show", database, "--artifact", "int8", "--json").json
    assert [point["commit_sha"] for point in document["points"]] == ["aaa", "bbb"]
    assert document["breaks"][0] == "net squash int8: mIoU worse by -1.000 at bbb (at once)"
    shown = segport("history", "show", database, "-o", tmp_path / "out")
    assert shown.code == 0 and "worse by -1.000 at bbb" in shown.out
    assert (tmp_path / "out/history.md").read_text().startswith("# History")
    assert (tmp_path / "out/history.svg").read_text().startswith("<?xml")
    page = (tmp_path / "out/history.html").read_text()
    assert "the last named below is net squash int8" in page and "worse by -1.000 at bbb" in page
    assert "<title>net squash int8: mIoU 79.60 % at aaa, 2026-01-01</title>" in page
    none = segport("history", "show", database, "--name", "other")
    assert none.code == 2 and len(none.errors) == 1


def test_many_processes_write_at_once(tmp_path: Path) -> None:
    for n in range(80):
        _write(tmp_path / f"{n}.json", n / 100)
    code = (
        "import sys; from pathlib import Path\n"
        "from validate.history.store import add_points, points_of\n"
        "from validate.result.result import load_result\n"
        "for n in range(int(sys.argv[2]), int(sys.argv[2]) + 10):\n"
        "    result = load_result(Path(sys.argv[1]) / f'{n}.json')\n"
        "    add_points(Path(sys.argv[1]) / 'h.db', points_of(result, f'c{n}', '2026-01-01'))"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(10 * n)]) for n in range(8)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 8
    points = read_points(tmp_path / "h.db")
    assert len(points) == 240 and len({p.commit_sha for p in points}) == 80


def _git(folder: Path, *words: str, given: str | None = None) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", folder, *who, *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout


def test_a_strangers_repository_runs_no_program(tmp_path: Path) -> None:
    repository, program, ran = tmp_path / "theirs", tmp_path / "program", tmp_path / "ran"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    repository.mkdir()
    _git(repository, "init", "-q")
    _git(repository, "commit", "-q", "--allow-empty", "-m", "x")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    plain = _git(repository, "cat-file", "commit", "HEAD")
    signed = plain.replace("\n\n", f"\n{signature}\n\n", 1)
    written = _git(repository, "hash-object", "-t", "commit", "-w", "--stdin", given=signed)
    _git(repository, "update-ref", "HEAD", written.strip())
    _git(repository, "config", "log.showSignature", "true")
    _git(repository, "config", "gpg.program", str(program))
    _git(repository, "show", "-s")
    assert ran.exists()  # git alone does run it
    ran.unlink()

    answer = segport("history", "add", tmp_path / "h.db", _write(repository / "a.json", 0.4))
    assert (answer.code, answer.errors) == (0, [])
    assert not ran.exists()


def test_a_ratio_that_no_float_holds_leaves_the_history_readable(tmp_path: Path) -> None:
    result = _write(tmp_path / "a.json", 0.4)
    document = json.loads(result.read_text())
    for artifact in document["artifacts"]:
        median = 1e308 if artifact["id"] == "int8" else 0.1
        artifact["latency_ms"] = {"median": median, "p10": 0.1, "p90": median}
    result.write_text(json.dumps(document))
    database = tmp_path / "h.db"
    assert segport("history", "add", database, result, "--commit", "a").code == 0
    shown = segport("history", "show", database, "--json").json["points"]
    ratios = {point["artifact"]: point["latency_ratio"] for point in shown}
    assert ratios["fp32"] == 1.0 and ratios["int8"] is None


@pytest.mark.parametrize("date", ["9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00", "x"])
def test_a_date_that_utc_has_not_is_one_line(tmp_path: Path, date: str) -> None:
    result, database = _write(tmp_path / "a.json", 0.4), tmp_path / "h.db"
    answer = segport("history", "add", database, result, "--commit", "a", "--date", date)
    assert answer.code == 2
    (error,) = answer.errors
    assert f"--date {date}: give ISO 8601" in error
    assert not database.exists()


def test_a_files_name_is_no_command_to_a_terminal_or_ci(tmp_path: Path) -> None:
    result = _write(tmp_path / "a.json", 0.4)
    database = tmp_path / "\x1b[31mh\n::error::x"
    answer = segport("history", "add", database, result, "--commit", "a")
    assert answer.code == 0 and database.exists()
    assert "\x1b" not in answer.out
    assert not any(line.startswith("::") for line in answer.out.splitlines())


def test_damaged_and_foreign_files_are_one_line(tmp_path: Path) -> None:
    result = _write(tmp_path / "a.json", 0.4)
    (tmp_path / "text.db").write_text("no database " * 200)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    for name in ("text.db", "other.db", "absent/x.db"):
        before = (tmp_path / name).read_bytes() if (tmp_path / name).exists() else None
        add = segport("history", "add", tmp_path / name, result, "--commit", "a")
        show = segport("history", "show", tmp_path / name)
        for answer in (add, show):
            assert answer.code == 2 and len(answer.errors) == 1 and name in answer.errors[0]
        assert before is None or (tmp_path / name).read_bytes() == before
