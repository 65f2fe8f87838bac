"""This user's signature: tells what Segport wrote for them from what anybody else wrote."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from export.common.errors import ArtifactError
from export.common.files import new_files

_KEY_FILE = "key"
_KEY_BYTES = 32


def state_folders() -> Iterator[Path]:
    """Yield where what a program keeps for itself belongs, the XDG specification's choice first."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if state.is_absolute():
        yield state / "segport"
    with suppress(RuntimeError):  # no home
        yield Path.home() / ".local" / "state" / "segport"


def signature(data: bytes) -> str | None:
    """Return the hex HMAC-SHA256 of `data` by this user's key, made at its first use.

    None where no key can be kept: without a home, or where that cannot be written.
    """
    key = next(filter(None, map(_key, state_folders())), None)
    return None if key is None else hmac.new(key, data, hashlib.sha256).hexdigest()


def _key(folder: Path) -> bytes | None:
    file = folder / _KEY_FILE
    with suppress(OSError, ArtifactError):
        if not file.is_file() or file.stat().st_size != _KEY_BYTES:
            with new_files(file) as (temporary,):
                temporary.touch(mode=0o600)
                temporary.write_bytes(secrets.token_bytes(_KEY_BYTES))
        key = file.read_bytes()
        return key if len(key) == _KEY_BYTES else None
    return None
