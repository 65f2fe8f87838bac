"""The last line of defence: an unexpected error as one line, its traceback kept."""

import os
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from export.common.errors import first_line
from segport.signing import state_folders


def defect(error: Exception) -> str:
    """Keep the traceback in a file; return one line that says where, or that it was not kept."""
    text = "".join(traceback.format_exception(error))
    kept = next(filter(None, (_kept(text, folder) for folder in _folders())), None)
    where = f"its traceback is in {kept}" if kept else "SEGPORT_TRACEBACK=1 shows its traceback"
    return f"a defect of segport ({type(error).__name__}: {first_line(error)[:200]}); {where}"


def _folders() -> Iterator[Path]:
    """Yield where logs belong, then where temporary files do."""
    yield from state_folders()
    with suppress(OSError):  # nowhere to write
        yield Path(tempfile.gettempdir())


def _kept(text: str, folder: Path) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(".txt", "segport-traceback-", folder)
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return None
    return Path(name)
