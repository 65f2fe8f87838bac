"""What `make test-fast` leaves out."""

from pathlib import Path

from tests.lengthy import LISTED, lengthy, seconds_of

REPORT = """<testsuites><testsuite>
<testcase classname="tests.quantize.test_a" name="test_one[x-y]" time="0.5"/>
<testcase classname="tests.quantize.test_a" name="test_one[z]" time="2"/>
<testcase classname="tests.quantize.test_a" name="test_two" time="1"/>
<testcase classname="tests.test_b" name="test_two" time="0.25"/>
</testsuite></testsuites>"""


def test_the_shortest_functions_stay_in(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(REPORT)
    taken = seconds_of(report)
    assert taken == {
        "tests/quantize/test_a.py::test_one": 2.5,
        "tests/quantize/test_a.py::test_two": 1.0,
        "tests/test_b.py::test_two": 0.25,
    }
    assert lengthy(taken, 1.25) == ["tests/quantize/test_a.py::test_one"]
    assert lengthy(taken, 1) == [
        "tests/quantize/test_a.py::test_one",
        "tests/quantize/test_a.py::test_two",
    ]


def test_what_is_listed_is_there() -> None:
    for name in LISTED:
        file, function = name.split("::")
        assert f"def {function}(" in Path(file).read_text(), name
