"""What a result states against what its counts say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gate_trials import changed, numbers
from export.common.errors import DataError
from tests.validate.results import written
from validate.gating.counted import Counted, count
from validate.gating.gate import gate
from validate.gating.rules import Rules
from validate.gating.verdict import Outcome, Verdict, exit_code
from validate.result.result import Result, load_result

DEFAULTS = Rules()


def _confusions(missed: int, images: int = 6) -> np.ndarray[Any, Any]:
    """`missed` of 1000 cat pixels of every image are called dog."""
    matrix = np.array([[2000, 0, 0], [0, 1000 - missed, missed], [0, 0, 1000]])
    return np.stack([matrix + np.diag([index, 0, 0]) for index in range(images)])


@pytest.fixture
def result(tmp_path: Path) -> Result:
    confusions = {"torch-fp32": _confusions(100), "int8": _confusions(150)}
    return written(tmp_path, confusions)


def counted_in(folder: Path, rules: Rules = DEFAULTS) -> Counted:
    return count(load_result(folder / "result.json"), folder, rules)


def test_an_honest_result_raises_no_doubt(result: Result, tmp_path: Path) -> None:
    counted = counted_in(tmp_path)
    assert counted.verdicts == ()
    assert counted.result == result


def test_every_number_that_is_changed_is_found(result: Result, tmp_path: Path) -> None:
    """All fields, one at a time: figures by their counts, everything else by its checksum."""
    file = tmp_path / "result.json"
    document = json.loads(file.read_text())
    paths = list(numbers(document))
    assert len(paths) > 60
    for path in paths:
        file.write_text(json.dumps(changed(document, path)))
        try:
            loaded = load_result(file)
            verdicts = gate(
                loaded, folder=tmp_path, max_drop={"int8": 90}, min_agreement={"int8": 2}
            )
            code = exit_code(verdicts)
        except DataError:
            code = 2
        assert code == 2, path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"miou": 99.0}, "miou 99.0, counted 90.65"),
        (
            {"class_iou": {"background": 100.0, "cat": 1.0, "dog": 87.0}},
            "class_iou.cat 1.0, counted",
        ),
        ({"agreement": 90.0}, "agreement 90.0, counted 100.0"),
        ({"drop": None}, "drop None, counted 2.98"),
        ({"class_iou": {"background": 100.0}}, "class_iou.cat None, counted 85.0"),
        ({"invented_classes": ["dog"]}, "invented_classes has 1 entries, counted 0"),
    ],
)
def test_the_verdict_names_the_figure_and_both_values(
    result: Result, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    file = tmp_path / "result.json"
    document = json.loads(file.read_text())
    document["artifacts"][1].update(change)
    file.write_text(json.dumps(document))
    (verdict,) = counted_in(tmp_path).verdicts
    assert (verdict.id, verdict.outcome) == ("int8", Outcome.UNKNOWN)
    assert says in verdict.reason


def test_what_was_changed_has_no_verdict_and_says_so_whole(result: Result, tmp_path: Path) -> None:
    """A figure that counts tell, and a fact that only its checksum does."""
    file = tmp_path / "result.json"
    document = json.loads(file.read_text())
    counted = document["artifacts"][1]["drop"]
    document["artifacts"][1].update(drop=0.0, size_bytes=5_000)
    file.write_text(json.dumps(document))
    loaded = load_result(file)
    (drop,) = gate(loaded, folder=tmp_path, max_drop={"int8": 0.5})[:1]
    (size,) = gate(loaded, folder=tmp_path, max_size={"int8": "1MB"})[:1]
    unknown = Outcome.UNKNOWN
    assert drop == Verdict(
        "int8", unknown, f"drop 0.0, counted {counted}, no verdict", "max-drop", limit=0.5
    )
    changed = "size of int8 was changed in result.json after it was written"
    assert size == Verdict("int8", unknown, changed, "max-size", limit=1e6)


def test_a_figure_that_nobody_touched_is_judged_beside_one_that_was_changed(
    result: Result, tmp_path: Path
) -> None:
    file = tmp_path / "result.json"
    document = json.loads(file.read_text())
    document["artifacts"][1].update(drop=0.0, drop_ci95=[0.0, 0.0])
    file.write_text(json.dumps(document))
    loaded = load_result(file)
    # a regression by a figure that nobody touched is one
    both = gate(loaded, folder=tmp_path, max_drop={"int8": 0.5}, max_class_drop={"int8:cat": 0.1})
    assert exit_code(both) == 1


def test_what_is_judged_is_what_was_counted(result: Result, tmp_path: Path) -> None:
    """Cat: 850 of 1000, and 150 of 1150 of dog's union: by hand."""
    (verdict,) = gate(result, folder=tmp_path, max_drop={"int8": 5})
    before = (100 + 90 + 100 * 1000 / 1100) / 3
    after = (100 + 85 + 100 * 1000 / 1150) / 3
    assert verdict.value == pytest.approx(before - after)


def test_the_same_counts_stored_otherwise_are_the_same(result: Result, tmp_path: Path) -> None:
    """A file that was unpacked and packed again, with smaller integers, is no other evidence."""
    with np.load(tmp_path / "confusion.npz") as arrays:
        content: Any = {
            name: array.astype(np.uint16) if array.dtype == np.int64 else array
            for name, array in reversed(list(arrays.items()))
        }
    np.savez(tmp_path / "confusion.npz", **content)
    assert counted_in(tmp_path).verdicts == ()


def test_another_seed_of_the_bootstrap_is_honest(tmp_path: Path) -> None:
    from validate.judging.figures import figures

    missed = (100, 180, 120, 260, 150)
    uneven = np.stack([_confusions(many)[image] for image, many in enumerate(missed)])
    written(tmp_path, {"torch-fp32": _confusions(100, 5), "int8": uneven})
    counted = counted_in(tmp_path)
    again = figures(
        counted.evidence, "torch-fp32", ["background", "cat", "dog"], counted.images, seed=7
    )
    bootstrap = counted.result.bootstrap
    assert bootstrap is not None
    artifacts = [a.model_copy(update=dict(again[a.id])) for a in counted.result.artifacts]
    changed = counted.result.model_copy(
        update={"artifacts": artifacts, "bootstrap": bootstrap.model_copy(update={"seed": 7})}
    )
    from validate.judging.comparison import write_result

    write_result(changed, counted.evidence, counted.images, tmp_path)
    assert counted_in(tmp_path).verdicts == ()


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_byte_is_one_error(result: Result, tmp_path: Path, seed: int) -> None:
    """zlib, zipfile and numpy raise what they like: never more than a DataError, or a doubt."""
    file = tmp_path / "confusion.npz"
    content = bytearray(file.read_bytes())
    rng = np.random.default_rng(seed)
    for _ in range(int(rng.integers(1, 4))):
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    file.write_bytes(bytes(content))
    try:
        counted = counted_in(tmp_path)
    except DataError as error:
        assert "confusion.npz" in str(error) and "\n" not in str(error)
    else:  # what changed was no count: a date, say
        assert counted.verdicts == () or exit_code(counted.verdicts) == 2


@pytest.mark.parametrize("name", ["int8", "against/int8", "near/int8", "nonfinite/int8", "images"])
@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 3)), np.full((6, 3, 3), -1), np.array(["a"] * 6), np.zeros((6, 3, 4), np.int64)],
)
def test_what_is_no_count_is_an_error(
    result: Result, tmp_path: Path, name: str, array: np.ndarray[Any, Any]
) -> None:
    with np.load(tmp_path / "confusion.npz") as arrays:
        content: Any = {**arrays, name: array}
    np.savez(tmp_path / "confusion.npz", **content)
    if name == "images" and array.dtype.kind == "U":
        assert "their images" in counted_in(tmp_path).verdicts[0].reason
        return
    with pytest.raises(DataError, match=r"confusion\.npz: "):
        counted_in(tmp_path)


def test_a_field_that_a_later_version_adds_breaks_no_seal(result: Result, tmp_path: Path) -> None:
    """What is at its default says nothing: a file without it is the same result."""
    file = tmp_path / "result.json"
    document = json.loads(file.read_text())
    assert document["latency_protocol"] is None and document["artifacts"][0]["noise"] is None
    del document["latency_protocol"], document["artifacts"][0]["noise"]
    file.write_text(json.dumps(document))
    assert counted_in(tmp_path).verdicts == ()


def test_checksums_that_were_taken_away_are_missed(result: Result, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    document = json.loads(file.read_text())
    document["artifacts"][1]["latency_ms"]["median"] = 0.1
    for part in (document, *document["artifacts"]):
        part["facts_sha256"] = None
    file.write_text(json.dumps(document))
    verdicts = gate(load_result(file), folder=tmp_path, max_latency_ratio={"int8": 0.5})
    assert exit_code(verdicts) == 2
    assert any("lack the checksums" in verdict.reason for verdict in verdicts)


def test_an_artifact_that_is_there_twice_is_an_error(result: Result, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    document = json.loads(file.read_text())
    document["artifacts"].append(document["artifacts"][1])
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"result\.json: .*int8 are there more than once"):
        load_result(file)
