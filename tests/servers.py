"""Servers of packages that do not go beside ours, each in an environment that uv makes of them."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.once import made_once


def environment(factory: pytest.TempPathFactory, name: str, *packages: str) -> Path:
    """Return the folder of programs of a new environment with `packages`, made once."""

    def make(folder: Path) -> None:
        _uv(name, "venv", "--clear", "--python", sys.executable, str(folder))
        _uv(name, "pip", "install", "--python", str(folder / "bin/python"), *packages)

    return made_once(factory, name, make) / "bin"


def s3_packages(factory: pytest.TempPathFactory) -> Path:
    """Return a folder of s3fs and what it needs, for the end of sys.path.

    Its botocore wants an older python-dateutil than the one that is pinned, and takes ours.
    """

    def make(folder: Path) -> None:
        _uv("s3fs", "pip", "install", "--target", str(folder), "s3fs==2026.9.0")

    return made_once(factory, "s3fs", make)


def _uv(name: str, *words: str) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    done = subprocess.run([uv, "--quiet", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        assert os.environ.get("SEGPORT_REQUIRE_SERVERS") != "1", f"{name}: {done.stderr}"
        pytest.skip(f"{name} cannot be installed: {done.stderr.strip()[-200:]}")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def running(words: list[object], port: int, folder: Path) -> Iterator[None]:
    """Run a server in `folder` until the end; it answers at `port` when the block begins."""
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            list(map(str, words)), stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    try:
        end = time.monotonic() + 120
        while True:
            try:
                with closing(socket.create_connection(("127.0.0.1", port), 1)):
                    break
            except OSError:
                said = (folder / "log").read_text()[-500:]
                assert server.poll() is None and time.monotonic() < end, said
                time.sleep(0.1)
        yield
    finally:
        os.killpg(server.pid, 9)
        server.wait()


@contextmanager
def silent() -> Iterator[int]:
    """Give the port of a server that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield server.getsockname()[1]


@contextmanager
def mortal(server: str, word: str, most: int) -> Iterator[str]:
    """Give the address of a proxy of `server` that dies after `most` requests with `word`."""
    seen, dead = count(1), threading.Event()

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if word in self.path and next(seen) > most:
                dead.set()
            if dead.is_set():
                self.close_connection = True
                return
            asked = HTTPConnection(urlsplit(server).netloc, timeout=60)
            with closing(asked):
                asked.request(self.command, self.path, headers=dict(self.headers))
                answer = asked.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        do_HEAD = do_GET  # noqa: N815 - the name is that of http.server

        def log_message(self, format: str, *arguments: object) -> None:
            """Keep the test's output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()
            thread.join()
