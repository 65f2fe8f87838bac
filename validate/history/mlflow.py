"""Results by commit in an experiment of an MLflow tracking server, a run for each result.

By MLflow's REST API (https://mlflow.org/docs/latest/api_reference/rest-api.html), whose seven
calls of version 2.0 are all that is needed: the package mlflow brings a hundred others. Metrics
`ARTIFACT/miou` and so on are for its pages; what is read again are tags, one for each row, and only
of runs that are finished, so that a result is there whole or not. MLflow has no unique keys: where
two machines add the same result at once there are two runs, and the later is not read.
"""

import json
import os
import re
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from http.client import HTTPException
from itertools import groupby
from typing import Any
from urllib.error import HTTPError
from urllib.parse import SplitResult, unquote, urlencode, urlsplit
from urllib.request import Request, urlopen

from export.common.errors import DataError, UsageError, first_line
from validate.history.store import NUMBERS, HistoryPoint, points_from
from validate.history.stores import shown

_WAIT = 60
"""Seconds that the server may be silent."""
_BATCH = 100
"""Tags that one call takes; it takes more metrics than there are of so many rows."""
_PAGE = 1000
_COMMIT, _DIGEST = "segport.commit", "segport.digest"
_ADDED, _ROW = "segport.added", "segport.row"
_ABSENT, _THERE = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"


class _RefusedError(Exception):
    """What the server says, and its name for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Server:
    """The tracking server that a URL names, and the name of the experiment in it."""

    def __init__(self, where: str) -> None:
        try:
            parts = urlsplit(where)
            host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
        except ValueError as error:
            raise UsageError(f"{shown(where)}: {error}") from error
        prefix, _, name = parts.path.rpartition("/")
        if not name or parts.query or parts.fragment:
            raise UsageError(f"{shown(where)}: give {parts.scheme}://HOST:PORT/EXPERIMENT")
        self.where, self.experiment = shown(where), unquote(name)
        self._api = f"{parts.scheme.removeprefix('mlflow+')}://{host}{prefix}/api/2.0/mlflow/"
        self._authorization = _authorization(parts)

    def get(self, call: str, **query: str) -> Any:
        """Return the answer to a question."""
        return self._answer(Request(f"{self._api}{call}?{urlencode(query)}"))

    def post(self, call: str, **body: Any) -> Any:
        """Return the answer to what is sent."""
        data = json.dumps(body).encode()
        return self._answer(Request(self._api + call, data, {"Content-Type": "application/json"}))

    def _answer(self, request: Request) -> Any:
        """Raise _RefusedError where the server says no, DataError where it says nothing of use."""
        if self._authorization:  # for this server, not for one that it redirects to
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            with urlopen(request, timeout=_WAIT) as answer:
                return json.loads(answer.read())
        except HTTPError as error:
            with error:
                raise _refused(error) from error
        except (OSError, HTTPException, ValueError) as error:
            reason = first_line(error)
            raise DataError(f"{self.where}: cannot use this history ({reason})") from error


def add_points(where: str, points: Sequence[HistoryPoint]) -> int:
    """Add a run for each result and return how many points were new; the experiment is made.

    The same result of the same commit is kept once. Raises DataError for a server that cannot be
    reached or refuses.
    """
    added = 0
    with _opened(where) as server:
        experiment = _found(server) or _made(server)
        for (commit, digest), rows in groupby(points, lambda p: (p.commit_sha, p.digest)):
            there = _runs(server, experiment, f"tags.`{_DIGEST}` = '{digest}'")
            if commit not in {tags.get(_COMMIT) for tags in there}:
                added += _add(server, experiment, list(rows))
    return added


def read_points(where: str) -> list[HistoryPoint]:
    """Return all points in the order of their commits' dates; raise as above."""
    with _opened(where) as server:
        experiment = _found(server)
        if experiment is None:
            raise DataError(f"{server.where}: no history; 'segport history add' makes it")
        runs = [tags for tags in _runs(server, experiment) if _DIGEST in tags]
        rows = [
            json.loads(text)
            for tags in sorted(runs, key=lambda tags: int(tags[_ADDED]))
            for key, text in sorted(tags.items())
            if key.startswith(_ROW)
        ]
        points = points_from(server.where, rows)
    once: dict[tuple[str, str, str], HistoryPoint] = {}
    for point in points:
        once.setdefault((point.commit_sha, point.digest, point.artifact), point)
    return sorted(once.values(), key=lambda point: point.date)


@contextmanager
def _opened(where: str) -> Iterator[_Server]:
    server = _Server(where)
    try:
        yield server
    except _RefusedError as error:
        raise DataError(f"{server.where}: cannot use this history ({error})") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = first_line(error)
        raise DataError(f"{server.where}: not what MLflow answers ({reason})") from error


def _found(server: _Server) -> str | None:
    """Return the experiment's id, None where there is none."""
    try:
        answer = server.get("experiments/get-by-name", experiment_name=server.experiment)
    except _RefusedError as error:
        if error.code != _ABSENT:
            raise
        return None
    return str(answer["experiment"]["experiment_id"])


def _made(server: _Server) -> str | None:
    try:
        server.post("experiments/create", name=server.experiment)
    except _RefusedError as error:
        if error.code != _THERE:  # somebody else's at the same time will do
            raise
    return _found(server)


def _runs(server: _Server, experiment: str | None, which: str = "") -> Iterator[dict[str, str]]:
    """Yield the tags of finished runs."""
    wanted = " and ".join(filter(None, ("attributes.status = 'FINISHED'", which)))
    page: dict[str, str] = {}
    while True:
        answer = server.post(
            "runs/search", experiment_ids=[experiment], filter=wanted, max_results=_PAGE, **page
        )
        for run in answer.get("runs", ()):
            yield {tag["key"]: tag["value"] for tag in run["data"].get("tags", ())}
        if not answer.get("next_page_token"):
            return
        page = {"page_token": answer["next_page_token"]}


def _add(server: _Server, experiment: str | None, points: Sequence[HistoryPoint]) -> int:
    """Add a result, which is seen when its run is finished; return its points."""
    first, now = points[0], time.time_ns()
    tags = {
        _COMMIT: first.commit_sha,
        _DIGEST: first.digest,
        _ADDED: str(now),
        "mlflow.source.git.commit": first.commit_sha,
    }
    run = server.post(
        "runs/create",
        experiment_id=experiment,
        run_name=f"{first.name} {first.commit_sha[:10]}",
        start_time=now // 1_000_000,
        tags=_pairs(tags),
    )["run"]["info"]["run_id"]
    about = {"network": first.name, "protocol": first.protocol, "images": first.ids_sha256}
    server.post("runs/log-batch", run_id=run, params=_pairs(about))
    for start in range(0, len(points), _BATCH):
        some = list(enumerate(points))[start : start + _BATCH]
        rows = {f"{_ROW}.{place:05}": json.dumps(astuple(point)) for place, point in some}
        metrics = [metric for _, point in some for metric in _metrics(point, now // 1_000_000)]
        server.post("runs/log-batch", run_id=run, tags=_pairs(rows), metrics=metrics)
    server.post("runs/update", run_id=run, status="FINISHED", end_time=time.time_ns() // 1_000_000)
    return len(points)


def _metrics(point: HistoryPoint, now: int) -> list[dict[str, Any]]:
    artifact = re.sub(r"[^\w.-]", "_", point.artifact, flags=re.ASCII)
    return [
        {"key": f"{artifact}/{name}", "value": value, "timestamp": now, "step": 0}
        for name in NUMBERS
        if (value := getattr(point, name)) is not None
    ]


def _pairs(facts: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in facts.items()]


def _authorization(parts: SplitResult) -> str | None:
    """Return what says who asks: of the URL, or of the variables that MLflow's client looks at."""
    user = unquote(parts.username or "") or os.environ.get("MLFLOW_TRACKING_USERNAME")
    if user:
        password = unquote(parts.password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
        return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return f"Bearer {token}" if token else None


def _refused(error: HTTPError) -> _RefusedError:
    try:
        answer = json.loads(error.read())
        return _RefusedError(str(answer["error_code"]), str(answer["message"]).splitlines()[0])
    except (OSError, HTTPException, ValueError, KeyError, TypeError, IndexError):
        return _RefusedError("", f"HTTP {error.code} {error.reason}")
