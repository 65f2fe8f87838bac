"""What `--accumulate` takes, and when."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from export.common.errors import UsageError

if TYPE_CHECKING:
    from export.artifact.artifact import Artifact

ACCUMULATORS = {"fp16": "fp16 files also with their sums in float16, in two orders"}


def refuse_without_fp16(artifacts: "Iterable[Artifact]") -> None:
    """Raise UsageError where no artifact has sums in float16."""
    if not any(one.manifest.precision == "fp16" for one in artifacts):
        raise UsageError("--accumulate fp16 judges fp16 files, and none was given")
