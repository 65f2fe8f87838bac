"""What this machine has left: memory, and what the cache takes."""

from contextlib import suppress
from pathlib import Path

from export.common.errors import SegportError
from export.common.memory import free_memory
from quantize.calibration.cache import default_folder


def health() -> dict[str, str]:
    """Return free memory and the cache's place and size, for people."""
    free, folder = free_memory(), default_folder()
    files = _files(folder)
    size = sum(files.values())
    return {
        "free memory": "unknown" if free is None else f"{free / 1e9:.1f} GB",
        "cache": f"{folder or 'none'}, {len(files)} files, {size / 1e6:.1f} MB",
    }


def clear() -> int:
    """Delete the statistics of earlier calibrations; return their bytes.

    Nothing else in the folder is touched. Raises SegportError for what cannot be deleted.
    """
    freed = 0
    for file, size in _files(default_folder()).items():
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise SegportError(f"cache: cannot delete {file} ({error.strerror})") from error
        freed += size
    return freed


def _files(folder: Path | None) -> dict[Path, int]:
    """Return bytes by file; a link counts itself, and what another run removes meanwhile not."""
    sizes = {}
    for file in sorted(folder.glob("*.npz")) if folder else ():
        with suppress(FileNotFoundError):
            sizes[file] = file.lstat().st_size
    return sizes
