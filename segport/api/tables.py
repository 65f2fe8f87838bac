"""Tables for notebooks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from export.common.errors import UsageError

if TYPE_CHECKING:
    import pandas


def html_table(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> str:
    """Return an HTML table; what cells hold is escaped."""
    return str(tabulate(rows, columns, tablefmt="html", disable_numparse=True))


def data_frame(rows: Sequence[Mapping[str, Any]]) -> "pandas.DataFrame":
    """Return rows as a pandas table. Raises UsageError where pandas is not installed."""
    try:
        import pandas
    except ImportError as error:
        raise UsageError("to_pandas: pandas is not installed; pip install pandas") from error
    return pandas.DataFrame(list(rows))
