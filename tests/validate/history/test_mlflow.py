"""Results in a real MLflow server, in an environment of its own, started for these tests."""

import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.segport.command import segport
from tests.servers import environment, free_port, running, silent
from tests.validate.results import lost, result_of
from validate.history import mlflow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a server."""
    programs = environment(tmp_path_factory, "mlflow", "mlflow==3.17.2")
    port, folder = free_port(), tmp_path_factory.mktemp("mlflow-server")
    words = [programs / "python", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port]
    words += ["--workers", 1, "--backend-store-uri", f"sqlite:///{folder / 'runs.db'}"]
    with running(words, port, folder):
        yield f"127.0.0.1:{port}"


def _write(path: Path, drop: float, name: str = "net") -> Path:
    made = result_of(lost("fp32", 0), lost("int8@npu", drop), name=name)
    path.write_text(made.to_json())
    return path


@pytest.mark.slow
def test_the_same_rows_come_back_as_from_a_file(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "_PAGE", 1)
    url = f"mlflow+http://{server}/same%20rows"
    late, early = _write(tmp_path / "b.json", 1.4), _write(tmp_path / "a.json", 0.4)
    for store in (tmp_path / "h.db", url):
        for file, commit, date in (
            (late, "bbb", "2026-02-01"),
            (early, "it's", "2026-01-01"),
            (early, "ccc", "2026-01-01"),
        ):
            words = ("history", "add", store, file, "--commit", commit, "--date", date, "--json")
            assert segport(*words).json["added"] == 3
        again = segport("history", "add", store, early, "--commit", "it's", "--json")
        assert again.json["added"] == 0
    shown = [segport("history", "show", store, "--json").json for store in (tmp_path / "h.db", url)]
    assert shown[0] == shown[1] and len(shown[1]["points"]) == 9


@pytest.mark.slow
def test_mlflow_itself_shows_the_figures(
    server: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its own client finds them, and a run of somebody else is no row."""
    file = _write(tmp_path / "a.json", 0.4)
    assert (
        segport("history", "add", f"mlflow+http://{server}/pages", file, "--commit", "c0").code == 0
    )
    programs = environment(tmp_path_factory, "mlflow", "mlflow==3.17.2")
    code = (
        "import mlflow, sys; mlflow.set_tracking_uri(sys.argv[1]); mlflow.set_experiment('pages')\n"
        "runs = mlflow.search_runs()\n"
        "print(len(runs), runs['status'][0], runs['params.network'][0],"
        " round(runs['metrics.int8_npu/loss'][0], 6), round(runs['metrics.fp32/miou'][0], 6))\n"
        "with mlflow.start_run(): mlflow.log_metric('loss', 1)"
    )
    done = subprocess.run(
        [programs / "python", "-c", code, f"http://{server}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = segport("history", "show", f"mlflow+http://{server}/pages", "--json").json["points"]
    by_artifact = {point["artifact"]: point for point in found}
    assert len(found) == 3
    loss, miou = by_artifact["int8@npu"]["loss"], by_artifact["fp32"]["miou"]
    assert done.stdout.splitlines()[0] == f"1 FINISHED net {loss:.6g} {miou}"


@pytest.mark.slow
def test_many_processes_write_at_once(server: str, tmp_path: Path) -> None:
    """Also the experiment, which none of them finds."""
    writers = []
    for number in range(4):
        file = _write(tmp_path / f"{number}.json", number / 10)
        words = ["history", "add", f"mlflow+http://{server}/many", str(file), "--commit", "c"]
        writers.append(subprocess.Popen([sys.executable, "-m", "segport", *words]))
    assert [writer.wait(300) for writer in writers] == [0] * 4
    words = ("--artifact", "int8@npu", "--json")
    found = segport("history", "show", f"mlflow+http://{server}/many", *words).json
    assert sorted(point["loss"] for point in found["points"]) == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.slow
def test_a_result_that_was_not_finished_is_not_there_and_added_whole(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, file = f"mlflow+http://{server}/killed", _write(tmp_path / "a.json", 0.4)
    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "_metrics", lambda *_: [{"key": "\x00"}])
        assert segport("history", "add", url, file, "--commit", "c").code == 2
    none = segport("history", "show", url)
    assert none.code == 2 and "no results" in none.errors[0]
    assert segport("history", "add", url, file, "--commit", "c", "--json").json["added"] == 3
    assert len(segport("history", "show", url, "--json").json["points"]) == 3


def test_a_server_of_something_else_is_a_line(tmp_path: Path) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"[1]")

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Other) as place:
        url = f"mlflow+http://{place}/x"
        words = ("history", "add", url, _write(tmp_path / "a.json", 0.4), "--commit", "c")
        for done in (segport("history", "show", url), segport(*words)):
            assert done.code == 2 and len(done.errors) == 1
            assert "not what MLflow answers" in done.errors[0]


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Give HOST:PORT of a server that answers so."""
    server = HTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def guarded() -> Iterator[tuple[str, list[str | None]]]:
    """A server that lets nobody in, and what it was told of who asks."""
    told: list[str | None] = []

    class Guard(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.append(self.headers["Authorization"])
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b"<html>who are you?</html>")

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Guard) as place:
        yield place, told


def test_who_asks_is_told_and_not_shown(
    guarded: tuple[str, list[str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, told = guarded
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    answers = [segport("history", "show", f"mlflow+http://{place}/x")]
    answers += [segport("history", "show", f"mlflow+http://me:s3cret%2F@{place}/x")]
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "you")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    answers += [segport("history", "show", f"mlflow+http://{place}/x")]
    basic = [f"Basic {b64encode(who).decode()}" for who in (b"me:s3cret/", b"you:s3cret")]
    assert told == ["Bearer t0ken", *basic]
    for done in answers:
        assert done.code == 2 and len(done.errors) == 1 and "HTTP 401" in done.errors[0]
        assert "s3cret" not in done.err and "t0ken" not in done.err


def test_what_cannot_be_used_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "_WAIT", 0.5)
    with silent() as port:
        for url, reason in {
            "mlflow+http://127.0.0.1:1/x": "refused",
            f"mlflow+http://127.0.0.1:{port}/x": "timed out",
            "mlflow+http://127.0.0.1:1": "give mlflow+http://HOST:PORT/EXPERIMENT",
            "mlflow+http://127.0.0.1:1/x?token=s3cret": "give mlflow+http://HOST:PORT/EXPERIMENT",
            "mlflow+http://127.0.0.1:port/x": "port",
            "mlflow://127.0.0.1/x": "unknown store",
        }.items():
            done = segport("history", "show", url)
            assert done.code == 2 and len(done.errors) == 1, url
            assert reason.lower() in done.errors[0].lower()
            assert "s3cret" not in done.err
