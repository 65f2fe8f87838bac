"""Results by commit: kept once, by many writers, and where a series broke."""

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
