"""`segport serve` without a browser: what is served, to whom, and what is refused."""

import http.client
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from export.artifact.artifact import Artifact
from segport.web import onnxruntime_web, site
from segport.web.server import HOST, open_server
from tests.segport.command import segport


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a server of three files; beside the folder of one lies a secret."""
    (tmp_path / "secret").write_text("no")
    (tmp_path / "page").mkdir()
    (tmp_path / "page/net.onnx").write_bytes(b"net")
    files = {
        "index.html": b"<p>",
        "page.mjs": b"1",
        "net.onnx": tmp_path / "page/net.onnx",
    }
    with open_server(files, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def _ask(port: int, path: str, host: str | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    return connection.getresponse()


def test_it_serves_the_files_of_the_table(port: int) -> None:
    index, script, net = (_ask(port, path) for path in ("/", "/page.mjs?1", "/net.onnx"))
    assert (index.read(), script.read(), net.read()) == (b"<p>", b"1", b"net")
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    policy = index.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ") and "unsafe-inline" not in policy


@pytest.mark.parametrize(
    "path",
    ["/secret", "/../secret", "/page/../../secret", "/%2e%2e/secret", "//etc/passwd", "/.", "/x"],
)
def test_nothing_else_is_served(port: int, path: str) -> None:
    answer = _ask(port, path)
    assert answer.status == 404 and answer.read() != b"no"


def test_a_foreign_name_for_this_machine_is_refused(port: int) -> None:
    """Else a page elsewhere, whose name is made to mean 127.0.0.1, could read the models."""
    assert _ask(port, "/", "evil.example").status == 403
    assert _ask(port, "/", f"localhost:{port}").status == 200


def _stand_in(patch: pytest.MonkeyPatch, folder: Path) -> None:
    names = (onnxruntime_web.SCRIPT, onnxruntime_web.WASM)
    for name in names:
        (folder / name).write_bytes(b"ort")
    patch.setattr(site, "onnxruntime_web", lambda: {name: folder / name for name in names})


def test_a_taken_port_is_one_line(
    tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stand_in(monkeypatch, tmp_path)
    with socket.create_server((HOST, 0)) as taken:
        answer = segport("serve", tiny.path, "--port", taken.getsockname()[1])
    assert answer.code == 2
    assert len(answer.errors) == 1 and "--port, 0 takes a free one" in answer.errors[0]


def test_without_onnxruntime_web_it_says_how_to_get_it(
    tiny: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime_web, "DISTRIBUTION", "segport_web_that_is_not_there")
    answer = segport("serve", tiny.path)
    assert answer.code == 2
    assert len(answer.errors) == 1 and "'make web'" in answer.errors[0]


def test_a_static_folder_holds_the_page_and_the_files(
    tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stand_in(monkeypatch, tmp_path)
    answer = segport("serve", tiny.path.parent, "--export", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert (tmp_path / "out/tiny-fp32.onnx").read_bytes() == tiny.path.read_bytes()
    # the page's own files name each other, and all of those names are there
    text = "".join((tmp_path / "out" / name).read_text() for name in ("index.html", "worker.mjs"))
    assert "default-src 'none'" in text
    for name in ("style.css", "page.mjs", "infer.mjs", onnxruntime_web.SCRIPT):
        assert name in text and (tmp_path / "out" / name).is_file()


def test_files_that_cannot_be_compared_are_refused(
    tiny: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export.onnx_export import export_model

    _stand_in(monkeypatch, tmp_path)
    larger = export_model("tests.networks:tiny", "default", tmp_path, size=(97, 97), name="large")
    copies = [tmp_path / f"copy{suffix}" for suffix in (".onnx", ".json")]
    for copy in copies:
        shutil.copy(tiny.path.with_suffix(copy.suffix), copy)
    (tmp_path / "empty").mkdir()
    for given, reason in (
        ([tiny.path, larger.path], "serve one network at a time"),
        ([tiny.path, copies[0]], "give one of them"),
        ([tmp_path / "empty"], "no artifact in it"),
        ([tmp_path / "none.onnx"], "no such file"),
    ):
        answer = segport("serve", *given)
        assert answer.code == 2
        assert len(answer.errors) == 1 and reason in answer.errors[0]
