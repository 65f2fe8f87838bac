"""Which files a sweep's grid asks for, and what is said of a wrong one."""

import json
from pathlib import Path

import pytest

from export.common.errors import UsageError
from segport.sweep.frontier import with_frontier
from segport.sweep.outcome import Row
from segport.sweep.pick import parse_pick, pick
from segport.sweep.plan import load_sweep

HEAD = """
name = "fleet"
[data]
calibration = "images"
validation = "images"
[network.a]
name = "tests.networks:tiny"
weights = "default"
[network.b]
name = "tests.networks:tiny"
weights = "random"
"""


def _written(folder: Path, text: str) -> Path:
    file = folder / "sweep.toml"
    file.write_text(HEAD + text)
    return file


def test_every_combination_once_and_only_what_bears_on_it(tmp_path: Path) -> None:
    grid = """[grid]
    precision = ["fp16", "int8"]
    target = ["cpu", "npu"]
    with = [[], ["adaround", "equalize"]]
    """
    plan = load_sweep(_written(tmp_path, grid))
    assert [network.name for network in plan.networks] == ["a", "b"]
    for network in plan.networks:
        assert [cell.name for cell in network.cells] == [
            "fp16",
            "int8-cpu",
            "int8-cpu-adaround+equalize",
            "int8-npu",
            "int8-npu-adaround+equalize",
        ]
        assert network.cells[2].section.added == ("adaround", "equalize")
        assert network.recipe.data.calibration == str(tmp_path / "images")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"needs a table \[grid\]"),
        ("[grid]\ntarget = 'cpu'", r"\[grid\] target: give a list"),
        ("[grid]\ntarget = ['cpuu']", r"artifact.0.target: .*did you mean 'cpu'"),
        ("[grid]\ntargte = ['cpu']", r"unknown key 'artifact.0.targte': did you mean 'target'"),
        ("[gird]\ntarget = ['cpu']", "unknown key 'gird': did you mean 'grid'"),
        (f"[grid]\ntarget = {['cpu'] * 50}\nrange = {['mse'] * 50}", "2,500 combinations"),
        ("[grid]\nforce = [true]\n[validate]\nprotocols = ['squash', 'full']", "give one"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_sweep(_written(tmp_path, text))


def test_names_of_cells_are_folders_of_their_own(tmp_path: Path) -> None:
    kept = [["../up"], [".."], ["é" * 200], ["é" * 300], []]
    plan = load_sweep(_written(tmp_path, f"[grid]\nkeep_float = {json.dumps(kept)}"))
    names = [cell.name for cell in plan.networks[0].cells]
    assert len(set(names)) == 5 and not any("/" in name or name[0] == "." for name in names)
    assert max(len(name.encode()) for name in names) < 255


@pytest.mark.parametrize("name", ["../up", "/tmp/up", "", ".hidden/x", "a\\u001bb", "x" * 300])
def test_a_network_s_name_leads_out_of_no_folder(tmp_path: Path, name: str) -> None:
    file = tmp_path / "sweep.toml"
    table = f'[network."{name}"]\nonnx = "a.onnx"\n[grid]\ntarget = ["cpu"]\n'
    file.write_text('[data]\ncalibration = "c"\nvalidation = "v"\n' + table)
    with pytest.raises(UsageError, match="cannot be the name of a folder"):
        load_sweep(file)


def _row(cell: str, loss: float, time: float, size: float, network: str = "n") -> Row:
    return Row(
        network=network,
        cell=cell,
        values={},
        loss=loss,
        drop=loss,
        latency_ms=10 * time,
        latency_ratio=time,
        size_ratio=size,
    )


ROWS = (
    _row("exact", 0.0, 1.0, 0.5),
    _row("fast", 0.4, 0.5, 0.3),
    _row("beaten", 0.4, 0.6, 0.3),
    _row("small", 2.0, 0.55, 0.2),
    _row("alone", 9.0, 9.0, 9.0, network="other"),
    Row(network="n", cell="broken", values={}, error="no"),
)


def test_the_frontier_is_what_no_file_of_the_network_beats() -> None:
    marked = with_frontier(ROWS)
    assert [row.cell for row in marked if row.frontier] == ["exact", "fast", "small", "alone"]


@pytest.mark.parametrize(
    ("limits", "cell"),
    [
        ("drop<=0.5", "fast"),
        ("drop<=0.39", "exact"),
        ("drop <= 3, size <= 0.25", "small"),
        ("time<=0.1", None),
    ],
)
def test_the_fastest_within_limits_is_picked(limits: str, cell: str | None) -> None:
    row = pick(ROWS, parse_pick(limits))
    assert (row and row.cell) == cell


@pytest.mark.parametrize("text", ["drop", "drop<0.5", "drop<=x", ""])
def test_limits_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="give limits such as"):
        parse_pick(text)
    with pytest.raises(UsageError, match="did you mean 'drop'"):
        parse_pick("dorp<=1")
