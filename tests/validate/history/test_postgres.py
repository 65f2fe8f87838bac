"""Results in a real PostgreSQL server, started for these tests."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.segport.command import segport
from tests.validate.results import lost, result_of

pytest.importorskip("pg8000")
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
PROGRAM = shutil.which("initdb") or (str(PROGRAMS[-1]) if PROGRAMS else None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="needs PostgreSQL (apt-get install postgresql)"),
]
PASSWORD = "s3cret/:@"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """HOST:PORT/DATABASE of a server that asks for a password."""
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to be root's
    folder = Path(tempfile.mkdtemp(prefix="segport-postgres-"))
    if user:
        shutil.chown(folder, user)
    (secret := folder / "password").write_text(PASSWORD)
    secret.chmod(0o644)
    data, programs = folder / "data", Path(os.path.realpath(str(PROGRAM))).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*words: object) -> None:
        log = folder / "log"
        with log.open("ab") as out:
            subprocess.run(
                list(map(str, words)), check=True, user=user, stdout=out, stderr=out, cwd="/"
            )

    auth = ("--auth=scram-sha-256", "--username=tester", f"--pwfile={secret}")
    run(programs / "initdb", "-D", data, "--no-sync", *auth)
    options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
    run(programs / "pg_ctl", "-D", data, "-w", "-o", options, "start")
    try:
        yield f"127.0.0.1:{port}/postgres"
    finally:
        run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return f"postgresql://tester@{server}"


def _write(path: Path, drop: float, name: str) -> Path:
    path.write_text(result_of(lost("fp32", 0), lost("int8", drop), name=name).to_json())
    return path


def test_the_same_rows_come_back_as_from_a_file(url: str, tmp_path: Path) -> None:
    late, early = _write(tmp_path / "b.json", 1.4, "net"), _write(tmp_path / "a.json", 0.4, "net")
    for store in (tmp_path / "h.db", url):
        for file, commit, date in ((late, "bbb", "2026-02-01"), (early, "aaa", "2026-01-01")):
            done = segport(
                "history", "add", store, file, "--commit", commit, "--date", date, "--json"
            )
            assert done.json["added"] == 3
        again = segport("history", "add", store, late, "--commit", "bbb", "--json")
        assert again.json["added"] == 0
    shown = [
        segport("history", "show", store, "--name", "net", "--json").json
        for store in (tmp_path / "h.db", url)
    ]
    assert shown[0] == shown[1]
    assert shown[1]["breaks"][0] == "net squash int8: mIoU worse by -1.000 at bbb (at once)"


def test_many_processes_write_at_once(url: str, tmp_path: Path) -> None:
    """Also the table, which none of them finds."""
    server, _, _ = url.rpartition("/")
    created = (
        "import os, sys, pg8000.native as pg\n"
        "host, port = sys.argv[1].rpartition('@')[2].split(':')\n"
        "pg.Connection('tester', host, 'postgres', int(port), os.environ['PGPASSWORD'])"
        ".run('CREATE DATABASE many')"
    )
    subprocess.run([sys.executable, "-c", created, server], check=True)
    writers = []
    for number in range(6):
        file = _write(tmp_path / f"{number}.json", number / 10, "many")
        words = ["history", "add", f"{server}/many", str(file), "--commit", f"c{number % 3}"]
        writers.append(subprocess.Popen([sys.executable, "-m", "segport", *words]))
    assert [writer.wait(300) for writer in writers] == [0] * 6
    found = segport("history", "show", f"{server}/many", "--artifact", "int8", "--json").json
    drops = sorted(point["loss"] for point in found["points"])
    assert drops == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


def test_errors_are_a_line_without_the_password(
    url: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _write(tmp_path / "a.json", 0.4, "net")
    wrong = f"postgresql://tester:0therwise@{server}"
    for store, reason in {
        wrong: "password authentication failed",
        f"{url}-none": 'database "postgres-none" does not exist',
        "postgresql://tester@127.0.0.1:1/postgres": "127.0.0.1",
        f"{url}?sslmode=verify-full": "SSL",
        f"{url}?sslmode=perhaps": "only sslmode=disable or sslmode=verify-full",
        "postgresql://tester@127.0.0.1:x/postgres": "x",
        "postgresql://[::1/postgres": "not a URL",
        f"mysql://tester@{server}": "unknown store",
    }.items():
        done = segport("history", "add", store, file, "--commit", "c")
        assert done.code == 2 and len(done.errors) == 1, store
        assert reason in done.errors[0], (store, done.errors)
        assert "0therwise" not in done.out + done.err and PASSWORD not in done.out + done.err


def test_a_password_in_the_url_is_used_and_not_shown(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    file = _write(tmp_path / "a.json", 0.4, "mine")
    store = f"postgresql://tester:s3cret%2F%3A%40@{server}"
    done = segport("history", "add", store, file, "--commit", "c")
    assert done.code == 0 and f"postgresql://tester@{server}: 3 figures" in done.out
    none = segport("history", "show", store, "--name", "no such network")
    assert none.code == 2 and f"postgresql://tester@{server}: no results" in none.errors[0]
    assert "s3cret" not in done.out + done.err + none.err
