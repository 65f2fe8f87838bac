"""The table of report formats; `validate.report.report` writes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.common.tables import Lazy

if TYPE_CHECKING:
    from validate.report.content import ReportContent


@dataclass(frozen=True)
class ReportFormat:
    """`text(content)` is what report.NAME holds."""

    help: str
    text: "Callable[[ReportContent], str]"


REPORT_FORMATS: dict[str, ReportFormat] = {
    "md": ReportFormat("report.md, tables alone", Lazy("validate.report.report:markdown_of")),
    # brings matplotlib, which takes its time
    "html": ReportFormat(
        "report.html, with charts and pictures", Lazy("validate.report.page.page:html_report")
    ),
}
