"""Which tests `make test-fast` leaves out because all of them together would take too long.

    .venv/bin/pytest -n 2 --junitxml JUNIT.xml
    python -m tests.lengthy JUNIT.xml --seconds 45 > tests/lengthy.txt

Test functions, the shortest first, stay in as long as they take no more than so many seconds of one
core together; the others are listed, by file and name. What a function takes is the sum over its
parameters, with its fixtures.
"""

from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

LISTED = frozenset(Path(__file__).with_suffix(".txt").read_text().split())


def lengthy(seconds_of: dict[str, float], seconds: float) -> list[str]:
    """Return the names of those that do not fit into `seconds`, sorted."""
    left = seconds
    listed = []
    for name, taken in sorted(seconds_of.items(), key=lambda pair: pair[1]):
        left -= taken
        if left < 0:
            listed.append(name)
    return sorted(listed)


def seconds_of(report: Path) -> dict[str, float]:
    """Return the seconds of every test function in a report of pytest's."""
    taken: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        file = case.attrib["classname"].replace(".", "/") + ".py"
        taken[f"{file}::{case.attrib['name'].split('[')[0]}"] += float(case.attrib["time"])
    return dict(taken)


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("report", type=Path)
    parser.add_argument("--seconds", type=float, default=45)
    options = parser.parse_args()
    print("\n".join(lengthy(seconds_of(options.report), options.seconds)))
