"""What a sweep found, in sweep.json: a row per file, made or failed."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from export.common.errors import DataError
from export.common.files import read_file

SWEEP_FILE = "sweep.json"


class Row(BaseModel):
    """One cell. mIoU and agreement in percent, drop in points of mIoU, ratios to fp32.

    `loss` is the drop, without labels what agreement is short of 100. `error` says why there is no
    file or figure; `frontier` whether no other file of the network is as good in loss, time and
    size and better in one of them. `command` makes the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    network: str
    cell: str
    values: dict[str, str]
    error: str | None = None
    file: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    miou: FiniteFloat | None = None
    drop: FiniteFloat | None = None
    drop_ci95: tuple[FiniteFloat, FiniteFloat] | None = None
    agreement: FiniteFloat | None = None
    loss: FiniteFloat | None = None
    latency_ms: FiniteFloat | None = None
    latency_ratio: FiniteFloat | None = None
    size_ratio: FiniteFloat | None = None
    frontier: bool = False
    command: str | None = None


class SweepResult(BaseModel):
    """All rows; `images` is how many judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    protocol: str
    images: int
    rows: tuple[Row, ...]

    @property
    def failed(self) -> list[Row]:
        """Cells without figures."""
        return [row for row in self.rows if row.error is not None]


def load_sweep_result(file: Path) -> SweepResult:
    """Read a sweep.json; raise DataError for one that is missing or damaged."""
    try:
        return SweepResult.model_validate_json(read_file(file))
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{file}: no result of a sweep ({where}: {first['msg']})") from error
