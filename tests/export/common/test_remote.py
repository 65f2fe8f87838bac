"""Paths at URLs."""

import pickle
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from export.common import remote
from export.common.errors import DataError, RuntimeUnavailableError
from export.common.files import file_bytes, sha256_of, state_of
from export.common.remote import RemotePath, forget, location
from tests.servers import s3_packages, silent

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory() -> Any:
    forget()
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    return system


def test_text_that_is_no_url_is_a_local_path() -> None:
    assert location("a/b") == Path("a/b") and not isinstance(location("a:b"), RemotePath)
    assert location("file:///tmp/x") == Path("/tmp/x")
    assert not isinstance(location("file:///tmp/x"), RemotePath)


def test_a_path_is_shown_as_its_url_and_goes_to_workers() -> None:
    path = location("S3://Bucket/a/b") / "c.png"
    assert str(path) == "s3://Bucket/a/b/c.png"
    assert (path.name, path.stem, path.suffix) == ("c.png", "c", ".png")
    assert str(path.parent) == "s3://Bucket/a/b"
    assert pickle.loads(pickle.dumps(path)) == path
    with pytest.raises(TypeError, match="no local file"):
        open(path)  # noqa: SIM115, PTH123


@pytest.mark.parametrize(
    "url",
    ["https://me:s3cret@host/x", "https://host/x?X-Amz-Signature=s3cret", "s3://b?k=s3cret/x"],
)
def test_passwords_and_signatures_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(DataError, match="no password or '\\?' in a URL") as raised:
        location(url)
    assert "s3cret" not in str(raised.value)


def test_no_path_leads_out_of_its_host(memory: Any) -> None:
    memory.pipe("/other/x.png", b"1")
    memory.pipe("/here/a/y.png", b"2")
    path = location("memory://here") / "../../other/x.png"
    assert not path.is_file()
    with pytest.raises(FileNotFoundError):
        path.read_bytes()
    assert (location("memory://here/a") / "../a/y.png").read_bytes() == b"2"
    assert not (location("memory://here") / "/other/x.png").is_file()


def test_a_file_that_changed_has_another_version_and_digest(memory: Any) -> None:
    memory.pipe("/d/a.png", b"one")
    path = location("memory://d/a.png")
    before = state_of(path), sha256_of(path)
    assert before == (state_of(path), sha256_of(path))
    memory.pipe("/d/a.png", b"two")
    forget()
    assert state_of(path) != before[0] and sha256_of(path) != before[1]


@pytest.mark.slow
def test_a_server_that_never_answers_ends_in_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(s3_packages(tmp_path_factory))])
    monkeypatch.setattr(remote, "_WAIT", 0.5)
    with silent() as port:
        path = location(f"http://127.0.0.1:{port}/x.png")
        with pytest.raises(OSError, match="no answer within 0 s"):
            path.exists()
        with pytest.raises(OSError, match="no answer within 0 s"):
            file_bytes(path)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'segport\[gcs\]'"):
        location("gs://bucket/x").exists()
    with pytest.raises(DataError, match="unknown protocol 's4': did you mean 's3'"):
        location("s4://bucket/x").exists()


def test_a_file_beyond_the_limit_is_refused(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe("/d/a.png", b"12345678")
    monkeypatch.setattr(remote, "_LARGEST", 9)
    assert file_bytes(location("memory://d/a.png")) == b"12345678"
    monkeypatch.setattr(remote, "_LARGEST", 8)
    with pytest.raises(OSError, match="larger than"):
        file_bytes(location("memory://d/a.png"))


@pytest.mark.slow
def test_a_listing_of_100000_files_keeps_300_bytes_of_each(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 tells a kilobyte of each file."""
    facts = {"size": 1, "type": "file", "ETag": "e", "more": "x" * 1000}
    names = (f"/big/{number:06}.jpg" for number in range(100_000))
    monkeypatch.setattr(
        type(memory), "ls", lambda self, path, detail: ({"name": n} | facts for n in names)
    )
    tracemalloc.start()
    assert sum(1 for _ in location("memory://big").iterdir()) == 100_000
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000 * 300
