"""Ray, connected to a cluster or to one of this machine alone, and kept quiet."""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any, TextIO, cast

from export.common.errors import RuntimeUnavailableError, first_line
from export.ort.sessions import threads
from export.workers.engines import Note, Workers

EXTRA = "--engine ray needs Ray: pip install 'segport[ray]', or use --engine processes"
_ANSWER = 5.0
"""Seconds within which a cluster's port has to answer; Ray itself tries for minutes."""


@contextmanager
def cluster(workers: Workers, note: Note) -> Iterator[Any]:
    """Give the module `ray`, connected; a cluster of this machine alone ends with the block.

    Raises RuntimeUnavailableError where Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        import ray
    except ImportError as error:
        raise RuntimeUnavailableError(EXTRA) from error
    if ray.is_initialized():  # the caller's own
        yield ray
        return
    where = _where(workers)
    with _no_native_messages(), _no_printed_messages():
        begun = time.monotonic()
        terminated = signal.getsignal(signal.SIGTERM)
        try:
            with _paths_handed_down():
                context = ray.init(log_to_driver=False, logging_level="ERROR", **where)
        except Exception as error:  # that a node starts too slowly is no other class
            raise _no_cluster(workers, first_line(error)) from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminated)  # Ray's would end with another exit code
        import ray.data  # takes seconds, and behind `init` the workers are starting meanwhile

        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        if where["address"] == "local":
            note(f"Ray started in {time.monotonic() - begun:.0f} s")
        if context.dashboard_url:
            note(f"Ray's dashboard: http://{context.dashboard_url}")
        try:
            yield ray
        finally:
            with redirect_stdout(StringIO()):  # it prints what its threads kept back
                ray.shutdown()


def here(ray: Any) -> dict[str, Any]:
    """Return what keeps an actor on the machine of the driver, with which all ends anyway."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = ray.get_runtime_context().get_node_id()
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=True)}


def _address(workers: Workers) -> str | None:
    return workers.address or os.environ.get("RAY_ADDRESS")


def _where(workers: Workers) -> dict[str, Any]:
    address = _address(workers)
    if address is None:
        return {
            "address": "local",
            "num_cpus": max(threads(), (workers.count or 1) * workers.threads),
            "include_dashboard": False,
        }
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), _ANSWER).close()
        except OSError as error:
            raise _no_cluster(workers, error.strerror or str(error)) from error
    return {"address": address}


def _no_cluster(workers: Workers, reason: str) -> RuntimeUnavailableError:
    address = _address(workers)
    if address is None:
        return RuntimeUnavailableError(
            f"--engine ray: Ray does not start on this machine ({reason}); try again when it is "
            "less busy, or use --engine processes"
        )
    return RuntimeUnavailableError(
        f"--address {address}: no Ray cluster ({reason}); 'ray status' shows whether one runs, "
        "and its token has to be this user's"
    )


@contextmanager
def _paths_handed_down() -> Iterator[None]:
    """Let a cluster of this machine import what this process can.

    Ray's own way, a `runtime_env`, takes three seconds more for every actor.
    """
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextmanager
def _no_native_messages() -> Iterator[None]:
    """Keep off the terminal what Ray's C++ side says there, and no logger can silence.

    Standard error of Python goes where it went.
    """
    if not _is_descriptor(sys.stderr, 2):
        yield
        return
    before, nothing = sys.stderr, os.open(os.devnull, os.O_WRONLY)
    before.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    os.dup2(nothing, 2)
    os.close(nothing)
    try:
        yield
    finally:
        os.dup2(sys.stderr.fileno(), 2)
        sys.stderr.close()
        sys.stderr = before


@contextmanager
def _no_printed_messages() -> Iterator[None]:
    """Keep off standard output what a thread of Ray prints there, whatever `log_to_driver` says.

    It belongs to a result that may be one JSON document; what was lost is told in lines of ours.
    """
    before = sys.stdout
    sys.stdout = cast("TextIO", _WithoutRay(before))
    try:
        yield
    finally:
        sys.stdout = before


class _WithoutRay:
    """A stream on which Ray's threads write nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what other threads say."""
        if threading.current_thread().name.startswith("ray_"):
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_descriptor(stream: Any, number: int) -> bool:
    try:
        return bool(stream.fileno() == number)
    except (OSError, ValueError, AttributeError):  # a notebook's, or a test's
        return False
