"""Mutate a subject's modules with mutmut and write down what no test noticed.

    python -m tests.mutation.run [SUBJECT...]

Each subject is run in a copy of its own, runs/mutants/SUBJECT, so that parts can run apart and an
interrupted run goes on where it was; `tests/mutation/survivors/SUBJECT.md` is written anew.
"""

import os
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

from tests.mutation.exported import KEPT
from tests.mutation.survivors import forget_survivors, write
from tests.mutation.table import SUBJECTS, Subject

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "runs/mutants"
_COPIED = ("export", "quantize", "validate", "segport", "tests", "recipes", "constraints.txt")
_PACKAGES = ("export", "quantize", "validate", "segport")


def run(name: str) -> None:
    """Run every mutant of a subject that has no verdict yet."""
    folder = WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    for part in _COPIED:
        source, target = ROOT / part, folder / part
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)
    settings = (ROOT / "pyproject.toml").read_text() + _settings(SUBJECTS[name])
    (folder / "pyproject.toml").write_text(settings)
    with chdir(folder):
        forget_survivors(SUBJECTS[name].modules)
        Path("mutants/mutmut-stats.json").unlink(missing_ok=True)
    mutmut = str(Path(sys.executable).with_name("mutmut"))
    kept = {KEPT: str(folder / "exported"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run(
        [mutmut, "run", "--max-children", "1"], cwd=folder, env=os.environ | kept, check=True
    )


def _settings(subject: Subject) -> str:
    tests = [test for test in subject.tests if (ROOT / test).exists()]
    return f"""
[tool.mutmut]
source_paths = {list(_PACKAGES)}
only_mutate = {list(subject.modules)}
also_copy = ["recipes", "constraints.txt"]
pytest_add_cli_args = [
    "-m", "not slow and not shared", "-p", "no:cacheprovider", "-p", "no:unraisableexception",
    "-p", "no:threadexception", "-p", "tests.mutation.exported",
]
pytest_add_cli_args_test_selection = {tests}
# torch and onnxruntime have threads, which a fork of a process that ran them lacks
process_isolation = "forkserver"
timeout_multiplier = 15.0
timeout_constant = 5.0
use_git_change_detection = false
"""


def main(names: list[str]) -> None:
    """Run and list the subjects in `names`, all where there are none."""
    for name in names or SUBJECTS:
        run(name)
        print(write(name, WORK / name))


if __name__ == "__main__":
    main(sys.argv[1:])
