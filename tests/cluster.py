"""A Ray cluster on this machine, of real node processes; each ends with its block."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 60.0
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5e9" * 20}
"""Of nodes and drivers; Ray reads it when it is imported, which nothing has done yet."""


@contextmanager
def node(*arguments: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `ray start ARGUMENTS` until the block ends, with more in its environment."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *arguments],
        env=os.environ
        | {"PYTHONPATH": f"{ROOT}", "RAY_USAGE_STATS_ENABLED": "0"}
        | {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}
        | {"RAY_health_check_initial_delay_ms": "1000"}
        | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a node with all it started, as a machine that loses its power does."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def head(cpus: int = 2) -> Iterator[str]:
    """Give the address of a new cluster of one node."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    options = ("--head", f"--port={port}", f"--num-cpus={cpus}", "--include-dashboard=false")
    with node(*options, "--node-ip-address=127.0.0.1") as process:
        _await(process, port)
        yield address


def _await(process: "subprocess.Popen[bytes]", port: int) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < _SECONDS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None
        time.sleep(0.2)
    pytest.fail("ray start does not answer")
