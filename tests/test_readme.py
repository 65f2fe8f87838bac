"""Every command of the README and of the pages it leads to does what they show."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from torchvision.datasets import voc

from export.networks.table import ZOO
from export.networks.zoo import build_network
from tests.documentation import REPOSITORY, masked, shell, workshop_in
from tests.segport.command import Answer

README = (REPOSITORY / "README.md").read_text()
PAGES = [README, *((REPOSITORY / f"docs/{n}.md").read_text() for n in ("walkthrough", "published"))]
BLOCKS = re.findall(r"```sh\n(.*?)```(?:\n\n```text\n(.*?)```)?", "\n".join(PAGES), re.S)
PUBLISHED = "deeplabv3_mobilenet"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workshop(demo: tuple[Answer, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a checkout after `make demo`."""
    return workshop_in(tmp_path_factory.mktemp("workshop"), demo[1])


def _block(word: str) -> tuple[str, str]:
    (found,) = [block for block in BLOCKS if word in block[0]]
    return found


def test_every_block_is_run_by_a_test_or_by_ci() -> None:
    words = (
        "make demo",
        "--output mask",
        "out/review",
        "--baseline",
        "--max-drop",
        "curl",
        "bash ",
    )
    assert [block for word in words for block in (_block(word)[0],)] == [code for code, _ in BLOCKS]


def test_a_visitor_needs_two_minutes() -> None:
    assert len(README.splitlines()) <= 120


def test_ci_runs_the_two_commands() -> None:
    ci = (REPOSITORY / ".ci/run").read_text().splitlines()
    for line in _block("make demo")[0].splitlines():
        command = line.split("#")[0].strip()
        assert any(there == command or there.startswith(f"{command} 2> ") for there in ci)


def test_the_demo_prints_what_the_readme_shows(demo: tuple[Answer, Path]) -> None:
    printed = demo[0].out.replace(str(demo[1]), "runs/demo")
    shown = re.findall(r"```text\n(.*?)```", README, re.S)[0]
    assert masked(shown) == masked(printed)


@pytest.mark.parametrize("word", ["--output mask", "out/review", "--baseline", "--max-drop"])
def test_an_example_prints_what_the_readme_shows(word: str, workshop: Path) -> None:
    script, shown = _block(word)
    done = shell(script, workshop)
    assert done.returncode == 0, done.stderr
    assert shown
    assert masked(shown) == masked(done.stdout)


def test_the_verdicts_shown_are_those_of_the_demo(workshop: Path) -> None:
    script, shown = _block("--max-drop")
    assert "FAIL  int8@per-tensor" in shown
    assert "exit code 1" in shell(script, workshop).stdout.splitlines()


def test_weights_are_fetched_under_the_names_the_script_reads(workshop: Path) -> None:
    (workshop / "stubs").mkdir()
    stub = workshop / "stubs/curl"
    stub.write_text('#!/bin/sh\necho "$@" >> curl.log\necho stub > "$3"\n')
    stub.chmod(0o755)
    script = "".join(line for line in _block("curl")[0].splitlines(True) if "python" not in line)
    done = shell(script, workshop)
    assert done.returncode == 0, done.stderr
    vainf = [name for name in ZOO if not name.startswith("torchvision/")]
    files = [f"best_{name}_voc_os16.pth" for name in vainf]
    assert sorted(path.name for path in (workshop / "checkpoints").iterdir()) == sorted(files)
    requests = (workshop / "curl.log").read_text().splitlines()
    assert len(set(requests)) == len(vainf)
    for request, file in zip(requests, files, strict=True):
        flags, option, target, url = request.split()
        assert (flags, option, target) == ("-fL", "-o", f"checkpoints/{file}")
        assert re.fullmatch(rf"https://www\.dropbox\.com/s/[a-z0-9]{{15}}/{file}\?dl=1", url)


def test_voc_is_asked_for_where_the_next_command_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    class _AskedError(Exception):
        pass

    def ask(url: str, root: str, **_: object) -> None:
        asked.append((url, str(root)))
        raise _AskedError

    monkeypatch.setattr(voc, "download_and_extract_archive", ask)
    (line,) = [line for line in _block("curl")[0].splitlines() if line.startswith("python")]
    code = re.fullmatch(r'python -c "(.*)"', line)
    assert code
    with pytest.raises(_AskedError):
        exec(code[1], {})
    ((url, root),) = asked
    assert url.endswith("VOCtrainval_11-May-2012.tar")
    assert root == "."


def test_the_published_rows_come_out_in_one_table(
    demo: tuple[Answer, Path], tmp_path: Path
) -> None:
    """With one network, random weights in VainF's format, and a few scenes in VOC's place."""
    scenes, home = demo[1] / "scenes", tmp_path / "VOCdevkit/VOC2012"
    shutil.copytree(scenes, home)
    for split, count in (("train", 4), ("val", 2)):
        names = home / f"ImageSets/Segmentation/{split}.txt"
        names.write_text("".join(names.read_text().splitlines(True)[:count]))
    (tmp_path / "recipes").symlink_to(REPOSITORY / "recipes")
    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(0)
    state = build_network(PUBLISHED, 21, 16).state_dict()
    torch.save({"model_state": state}, tmp_path / f"checkpoints/best_{PUBLISHED}_voc_os16.pth")

    done = shell(f"{_block('bash ')[0].strip()} {PUBLISHED}", tmp_path)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "runs/published/README.md").read_text()
    for protocol in ("center-crop", "squash"):
        assert f"{PUBLISHED}/{protocol}/report.md" in table


def test_a_checkpoint_that_is_not_there_stops_the_published_rows(tmp_path: Path) -> None:
    (tmp_path / "recipes").symlink_to(REPOSITORY / "recipes")
    done = shell(f"bash recipes/published.sh {PUBLISHED}", tmp_path)
    assert done.returncode == 2
    assert "VOCdevkit" in done.stderr or f"best_{PUBLISHED}_voc_os16.pth" in done.stderr
