"""Progress as a bar below a notebook's cell."""

import sys
from html import escape
from typing import Any

from segport.progress import Stages


def in_notebook() -> bool:
    """Return whether a notebook's kernel runs this process; IPython is not imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


class NotebookBar(Stages):
    """One bar for a whole call, which goes when the call is over; notes stay."""

    def __init__(self) -> None:
        self._display: Any = None

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show stage, bar and count."""
        value = f'value="{done}" max="{total}"' if total else ""
        count = f" {done}/{total}" if total else ""
        self._show(f"<progress {value}></progress> {escape(name)}{count}")

    def note(self, text: str) -> None:
        """Print a line."""
        print(text, file=sys.stderr)

    def close(self) -> None:
        """Take the bar away."""
        if self._display is not None:
            self._show("")

    def _show(self, html: str) -> None:
        from IPython.display import HTML, display

        if self._display is None:
            self._display = display(HTML(html), display_id=True)
        else:
            self._display.update(HTML(html))
