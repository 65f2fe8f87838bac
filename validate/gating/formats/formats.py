"""How verdicts can be written: one entry per form, from which the command line takes its options.

Imports nothing heavy: the command line reads this table to know its options.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from validate.gating.judged import Judged


class Render(Protocol):
    """Return the file's text; `command` is the one that judged, for forms that show it. Pure."""

    def __call__(self, judged: "Sequence[Judged]", command: str = "") -> str: ...


@dataclass(frozen=True)
class Format:
    """One form; its option is --NAME FILE with this help."""

    help: str
    render: Render


def _junit(judged: "Sequence[Judged]", command: str = "") -> str:
    from validate.gating.formats.junit import junit_xml

    return junit_xml(judged)


def _comment(judged: "Sequence[Judged]", command: str = "") -> str:
    from validate.gating.formats.comment import comment

    return comment(judged, command)


def _badge(judged: "Sequence[Judged]", command: str = "") -> str:
    from validate.gating.formats.badge import badge

    return badge(judged)


def _code_quality(judged: "Sequence[Judged]", command: str = "") -> str:
    from validate.gating.formats.code_quality import code_quality

    return code_quality(judged)


FORMATS: dict[str, Format] = {
    "junit": Format("Write the verdicts to this file as JUnit XML.", _junit),
    "comment": Format("The same as Markdown, for a comment on a pull request.", _comment),
    "badge": Format("The same as JSON for a shields.io endpoint badge.", _badge),
    "code-quality": Format("The same as GitLab's code quality report.", _code_quality),
}
"""By name of the option."""
