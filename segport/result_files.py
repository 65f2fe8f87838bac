"""Results as users name them: files, folders that hold some, and globs."""

from collections.abc import Sequence
from pathlib import Path

from export.common.errors import UsageError
from validate.result.result import RESULT_FILE


def result_files(given: Sequence[str]) -> list[Path]:
    """Return the result files that `given` names, each once, in its order.

    A folder stands for the result in it, or else for all below it. A glob is for shells that
    did not expand it, `**` goes through folders. Raises UsageError for what names no result.
    """
    files: dict[Path, None] = {}
    for text in given:
        paths = _named(text)
        if not paths:
            raise UsageError(f"{text}: no {RESULT_FILE} there; 'segport validate' makes it")
        files |= dict.fromkeys(paths)
    return list(files)


def _named(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        own = path / RESULT_FILE
        return [own] if own.is_file() else sorted(path.rglob(RESULT_FILE))
    if not path.exists() and any(sign in text for sign in "*?["):
        anchor = Path(path.anchor) if path.is_absolute() else Path()
        try:
            matches = sorted(anchor.glob(str(path.relative_to(anchor))))
        except (ValueError, NotImplementedError) as error:
            raise UsageError(f"{text}: not a valid file pattern ({error})") from error
        return [file for match in matches for file in _named(str(match))]
    return [path]
