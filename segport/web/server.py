"""Serve the page to this machine, and to nobody else."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath

from export.common.errors import UsageError
from segport.web.site import POLICY, Site, content

HOST = "127.0.0.1"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}
_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@contextmanager
def open_server(site: Site, port: int) -> Iterator[ThreadingHTTPServer]:
    """Listen on 127.0.0.1 for requests of `site`; port 0 takes a free one.

    Raises UsageError when the port is taken.
    """
    try:
        server = _Server((HOST, port), _Handler, site)
    except OSError as error:
        raise UsageError(
            f"port {port}: cannot listen on it ({error.strerror}); choose another with --port, "
            "0 takes a free one"
        ) from error
    with server:
        yield server


def address(server: ThreadingHTTPServer) -> str:
    """Return the page's URL."""
    return f"http://{HOST}:{server.server_port}/"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, where: tuple[str, int], handler: type["_Handler"], site: Site) -> None:
        self.site = {f"/{name}": file for name, file in site.items()}
        self.site["/"] = site["index.html"]
        super().__init__(where, handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "segport"
    sys_version = ""
    timeout = 60

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        # a name that somebody else's page made point here is not this page's
        if self.headers.get("Host") not in self._hosts():
            return self.send_error(HTTPStatus.FORBIDDEN)
        if path not in self.server.site:
            return self.send_error(HTTPStatus.NOT_FOUND)
        body = content(self.server.site[path])
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _TYPES[PurePosixPath(path).suffix or ".html"])
        self.send_header("Content-Length", str(len(body)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)
        return None

    def _hosts(self) -> tuple[str, ...]:
        return tuple(f"{name}:{self.server.server_port}" for name in (HOST, "localhost"))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: standard error is for errors and progress."""
