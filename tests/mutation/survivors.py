"""The mutants of a subject that no test noticed, with the reasons why that is right."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

from mutmut.configuration import reset_config
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

from tests.mutation.table import SUBJECTS

HERE = Path(__file__).parent
KILLED = ("killed", "timeout", "segfault")
UNKNOWN = "not looked at"
Reasons = dict[str, list[dict[str, str]]]
_HUNK = re.compile(r"^([-+])(?![-+]{2} )(.*)$", re.MULTILINE)


class Survivor(NamedTuple):
    """`function` is module.function, `before` and `after` the lines that differ."""

    function: str
    before: str
    after: str


def write(name: str, folder: Path) -> str:
    """Write survivors/NAME.md from mutmut's files in `folder`; return its first line."""
    counts: Counter[str] = Counter()
    found: list[Survivor] = []
    with chdir(folder):
        reset_config()
        for path, key, status in verdicts(SUBJECTS[name].modules):
            counts[status] += 1
            if status not in KILLED:
                found.append(_survivor(path, key))
    killed, total = sum(counts[status] for status in KILLED), sum(counts.values())
    first = f"{name}: {killed} of {total} mutants killed ({100 * killed / max(total, 1):.1f} %)"
    reasons = tomllib.loads((HERE / "reasons.toml").read_text())
    lines = [
        f"# {first}",
        "",
        "| function | before | after | why it may live |",
        "|---|---|---|---|",
    ]
    for one in sorted(found):
        cells = [one.function, f"`{one.before}`", f"`{one.after}`", reason(one, reasons)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    target = HERE / "survivors" / f"{name}.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join(lines) + "\n")
    return first


def verdicts(modules: Sequence[str]) -> Iterator[tuple[Path, str, str]]:
    """Yield source, name and verdict of each mutant, in mutmut's folder."""
    for meta in sorted(Path("mutants").rglob("*.py.meta")):
        path = meta.relative_to("mutants").with_suffix("")
        if not any(path.match(pattern) for pattern in modules):
            continue
        for key, code in json.loads(meta.read_text())["exit_code_by_key"].items():
            yield path, key, status_by_exit_code[code]


def forget_survivors(modules: Sequence[str]) -> None:
    """Let mutmut try again what lives without a reason: there may be new tests.

    And what ran out of time: a busy machine stops sound mutants, too.
    """
    reset_config()
    reasons = tomllib.loads((HERE / "reasons.toml").read_text())
    for path in {path for path, _, _ in verdicts(modules)}:
        meta = Path("mutants", f"{path}.meta")
        data = json.loads(meta.read_text())
        data["exit_code_by_key"] = {
            key: code if _settled(path, key, status_by_exit_code[code], reasons) else None
            for key, code in data["exit_code_by_key"].items()
        }
        meta.write_text(json.dumps(data, indent=4))


def _settled(path: Path, key: str, status: str, reasons: Reasons) -> bool:
    if status in KILLED:
        return status != "timeout"
    there = status == "survived" and Path("mutants", path).exists()  # else its code is made anew
    return there and reason(_survivor(path, key), reasons) != UNKNOWN


def reason(survivor: Survivor, reasons: Reasons) -> str:
    """Return the first reason whose `function` and `change`, regular expressions, match."""
    change = f"{survivor.before} -> {survivor.after}"
    for entry in reasons["reason"]:
        if re.search(entry["function"], survivor.function) and re.search(entry["change"], change):
            return entry["why"]
    return UNKNOWN


def _survivor(path: Path, key: str) -> Survivor:
    changed: dict[str, list[str]] = {"-": [], "+": []}
    for sign, line in _HUNK.findall(get_diff_for_mutant(key, path=path)):
        changed[sign].append(line.strip())
    function = re.sub(r"\.xǁ?_?", ".", key.rsplit("__mutmut", 1)[0]).replace("ǁ", ".")
    return Survivor(function, " ".join(changed["-"]), " ".join(changed["+"]))
