"""Install Segport from wheels under every Python that is here, and run the core of its tests.

    python -m tests.pythons [VERSION...]

One version at a time, in runs/pythons, which is removed again: torch is some gigabytes. Wheels come
from uv's cache if they are there. Exit 1 where a version fails; one that is not here is only said.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "runs/pythons"
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
CORE = (
    "tests/export/artifact/test_artifact.py",
    "tests/export/networks/test_checkpoint.py",
    "tests/export/common/test_child.py",
    "tests/export/common/test_files.py",
    "tests/export/onnx_graph/test_onnx_cost.py",
    "tests/export/test_onnx_import.py",
    "tests/quantize/ranges",
    "tests/quantize/rounding",
    "tests/quantize/fp16/test_fp16.py",
    "tests/segport/test_bad_input.py",
    "tests/segport/test_help.py",
    "tests/segport/test_quiet.py",
    "tests/segport/test_recipe.py",
    "tests/segport/test_run.py",
    "tests/validate/data",
    "tests/validate/gating",
    "tests/validate/judging/test_evaluation.py",
    "tests/validate/metrics/test_intervals.py",
    "tests/validate/metrics/test_metrics.py",
    "tests/validate/result/test_result.py",
    "tests/numerical/test_masks.py",
)
"""What Python itself bears on: files, processes, signals, the command line, and a whole job."""


def interpreter(version: str) -> Path | None:
    """Return a Python of this version: on PATH, or one that pyenv keeps."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = shutil.which(f"python{version}")
    kept = sorted(pyenv.glob(f"{version}.*/bin/python{version}"), reverse=True)
    for one in [*([Path(found)] if found else []), *kept]:
        # pyenv has a stand-in on PATH for versions that are not chosen, which only says so
        answer = subprocess.run([one, "-c", ""], capture_output=True, check=False)
        if answer.returncode == 0:
            return one
    return None


def passes(version: str, python: Path) -> bool:
    """Install what the lock says, nothing built from source, and run the core of the tests."""
    folder = WORK / version
    uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]
    own = str(folder / "bin/python")
    pip = [*uv, "pip", "install", "--python", own]
    steps = [
        [*uv, "venv", "--clear", "--python", str(python), str(folder)],
        [*pip, "--only-binary", ":all:", "--require-hashes", "--requirement", "requirements.lock"],
        [*pip, "--no-deps", "--no-build-isolation", "."],
        [own, "-m", "pytest", "-m", "not slow and not shared and not browser", *CORE],
    ]
    try:
        return all(subprocess.run(step, cwd=ROOT, check=False).returncode == 0 for step in steps)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(versions: list[str]) -> int:
    """Try each version and say what came of it."""
    said = {}
    for version in versions or VERSIONS:
        python = interpreter(version)
        if python is None:
            said[version] = "not here"
            continue
        print(f"Python {version}: {python}", flush=True)
        said[version] = "passes" if passes(version, python) else "FAILS"
    print("\n".join(f"Python {version}: {what}" for version, what in said.items()))
    return int("FAILS" in said.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
