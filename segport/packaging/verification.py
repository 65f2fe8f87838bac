"""Verify a package that came from somebody else."""

from dataclasses import dataclass
from pathlib import Path

from export.common.errors import ArtifactError
from export.common.escaping import visible
from segport.packaging.forms import unpacked
from segport.packaging.inside import verify as inside
from segport.packaging.inside.infer import Network
from segport.packaging.signature import SIGNATURE, check


@dataclass(frozen=True)
class Verification:
    """What every variant gave here, and whether the signature was checked.

    `signature` is "by KEY", "by SUBJECT, certified by FILE", "there, not checked" or "none";
    `text` says all of it in words.
    """

    rows: tuple[inside.Row, ...]
    signature: str
    text: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """`exact`, `equal` but for a few pixels of another instruction set, or `wrong`."""
        return inside.overall(list(self.rows))

    @property
    def passed(self) -> bool:
        """Whether every variant computes what was promised."""
        return self.verdict != "wrong"

    @property
    def best(self) -> inside.Row | None:
        """The variant that this machine should take; None where none is made for it."""
        return inside.best(list(self.rows))

    @property
    def exit_code(self) -> int:
        """0, or 1 for what is wrong."""
        return int(not self.passed)

    def __repr__(self) -> str:
        return "\n".join([f"signature: {self.signature}", *self.text])


def verify(package: Path, key: Path | None = None) -> Verification:
    """Check a package's files, its signature by `key` (a public one, or certificates), and what
    it computes.

    Raises ArtifactError for one that is damaged, and for a signature that is not there or not
    by `key`.
    """
    where = visible(str(package))
    try:
        with unpacked(package) as folder:
            inside.check_files(folder)
            signature = _signature(folder, key, where)
            rows, text = inside.verified(folder, Network)
            return Verification(tuple(rows), signature, tuple(text))
    except inside.DamagedError as error:
        raise ArtifactError(f"{where}: {error}") from error


def _signature(folder: Path, key: Path | None, where: str) -> str:
    if key is None:
        return "there, not checked (--key)" if (folder / SIGNATURE).is_file() else "none"
    try:
        return f"by {check(folder, key)}"
    except ArtifactError as error:
        raise ArtifactError(f"{where}: {error}") from error
