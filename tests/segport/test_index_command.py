import subprocess
import sys
from pathlib import Path

from tests.markdown import table
from tests.segport.command import segport
from tests.validate.results import lost, result_of


def _reports(root: Path) -> Path:
    folder = root / "net/squash"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(result_of(lost("int8", 0.46)).to_json())
    (folder / "report.md").write_text("")
    return root


def test_index_writes_the_page_and_says_so(tmp_path: Path) -> None:
    answer = segport("index", _reports(tmp_path))
    file = tmp_path / "README.md"
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"wrote {file} (1 results)\n"
    reference, int8 = table(file.read_text(), "Results")
    assert (reference["artifact"], int8["artifact"]) == ("torch-fp32", "int8")
    assert (int8["run"], int8["drop"]) == ("[net](net/squash/report.md)", "+0.46")
    again = segport("index", tmp_path, "--json")
    assert again.json == {"file": str(file), "results": 1}


def test_bad_folders_are_one_line(tmp_path: Path) -> None:
    damaged = _reports(tmp_path / "damaged") / "net/squash/result.json"
    damaged.write_text("{}")
    (tmp_path / "empty").mkdir()
    for name, fragment in (
        ("damaged", f"{damaged}: not a result of schema 1"),
        ("empty", f"{tmp_path / 'empty'}: no results"),
        ("absent", f"{tmp_path / 'absent'}: no such folder"),
    ):
        answer = segport("index", tmp_path / name)
        assert (answer.code, answer.out) == (2, "")
        (line,) = answer.err.splitlines()
        assert line.startswith("segport: ") and fragment in line
        assert not (tmp_path / name / "README.md").exists()


def test_index_does_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from segport.cli import main\n"
        "try: main()\n"
        "except SystemExit as stopped: assert not stopped.code, stopped.code\n"
        "print(sorted({'torch', 'torchvision', 'onnxruntime'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "index", str(_reports(tmp_path))]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"
