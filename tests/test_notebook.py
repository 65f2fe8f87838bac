"""The example notebook runs, in a kernel of its own, and shows what a reader expects."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs/example.ipynb"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook after all its cells, and what their displays were told on the way."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    updates: list[str] = []

    class _Client(NotebookClient):
        def output(self, outs: Any, msg: Any, *rest: Any) -> Any:
            updates.append(str(msg["content"].get("data", {}).get("text/html", "")))
            return super().output(outs, msg, *rest)

    client = _Client(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}},
    )
    return client.execute(), updates


def _shown(notebook: Any, code: str) -> dict[str, Any]:
    """What the last output of the cell that ends with a line shows, by MIME type."""
    (cell,) = [one for one in notebook.cells if one.source.splitlines()[-1:] == [code]]
    return dict(cell.outputs[-1]["data"])


@pytest.mark.slow
def test_the_notebook_goes_from_a_module_to_a_gated_file(ran: Any) -> None:
    notebook, _ = ran
    assert "scenes-fp32" in _shown(notebook, "art")["text/html"]
    assert "calibration_images" in _shown(notebook, "q")["text/html"]
    table = _shown(notebook, "r")
    assert "<table>" in table["text/html"] and "int8" in table["text/html"]
    assert "reference" in table["text/plain"]
    assert "PASS" in _shown(notebook, "verdict")["text/html"]


@pytest.mark.slow
def test_tables_are_pandas_and_pictures_are_pictures(ran: Any) -> None:
    notebook, _ = ran
    frame = _shown(notebook, 'r.to_pandas()[["id", "miou", "drop", "agreement", "size_bytes"]]')
    assert "dataframe" in frame["text/html"] and "int8" in frame["text/html"]
    assert "image/png" in _shown(notebook, "r.plot()")
    files = _shown(notebook, "[path.name for path in r.report(work)]")["text/plain"]
    assert "'report.html'" in files


@pytest.mark.slow
def test_progress_is_a_bar_that_goes(ran: Any) -> None:
    notebook, updates = ran
    assert any("<progress" in text and "export" in text for text in updates)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            assert "<progress" not in str(output.get("data", {}).get("text/html", ""))
            assert output.output_type != "stream", output.text
