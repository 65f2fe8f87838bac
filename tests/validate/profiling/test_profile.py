from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import onnx
import pytest

from export.artifact.artifact import Artifact
from export.common.errors import UsageError
from validate.profiling import profile as module
from validate.profiling.accounts import achieved, groups, layer_entry
from validate.profiling.kernels import Kernel
from validate.profiling.profile import Profile, profile
from validate.profiling.profile_report import write_profile
from validate.profiling.profile_table import profile_lines
from validate.profiling.roofline import Limits

PEAKS = {"float": 50.0, "int8": 200.0}


LIMITS = Limits(PEAKS, {65536: 10.0})


@pytest.fixture(scope="module", autouse=True)
def known_bandwidth() -> Iterator[None]:
    """A bandwidth that a test knows, without the second it takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "measure_bandwidth", lambda: dict(LIMITS.bandwidths))
        yield


@pytest.fixture(scope="module")
def quick() -> pytest.MonkeyPatch:
    """Peaks that a test knows, without the second they take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "measure_peak", PEAKS.__getitem__)
        yield patch


@pytest.fixture(scope="module")
def found(quick: pytest.MonkeyPatch, int8: Artifact) -> Profile:
    return profile(int8, threads=1, rounds=8)


def test_speed_and_its_share_of_the_peak() -> None:
    # 3e9 products in 20 ms are 150 G a second, three quarters of 200
    assert achieved(3_000_000_000, 3_000_000_000, 20.0, 200.0) == (150.0, 75.0)
    # a third of them, with padding, left out
    assert achieved(3_000_000_000, 2_000_000_000, 20.0, 200.0) == (150.0, 50.0)
    assert achieved(3_000_000_000, 3_000_000_000, 20.0, None) == (150.0, None)
    assert achieved(0, 0, 20.0, 200.0) == (None, None)


def test_groups_add_up_and_take_the_peak_of_their_kind() -> None:
    kernels = [
        (Kernel("a", "QLinearConv", "int8", (1,), 2.0, 8_000_000), 100_000_000),
        (Kernel("b", "QLinearConv", "int8", (1,), 3.0, 100), 400_000_000),
        (Kernel("c", "Conv", "float", (1,), 1.0, 0), 40_000_000),
        (Kernel("d", "Resize", "float", (1,), 4.0, 10_000_000), 0),
    ]
    layers = [layer_entry(k, None, macs, macs, k.bytes, 20.0, LIMITS) for k, macs in kernels]
    # 100 M in 2 ms are 50 G/s: a quarter of 200
    assert (layers[0].share, layers[0].gmac_per_s, layers[0].of_peak) == (10.0, 50.0, 25.0)
    by_operator = groups(layers, lambda layer: layer.operator, 20.0, PEAKS)
    assert [(g.name, g.kernels, g.ms, g.share) for g in by_operator] == [
        ("QLinearConv", 2, 5.0, 25.0),
        ("Resize", 1, 4.0, 20.0),
        ("Conv", 1, 1.0, 5.0),
    ]
    # 500 M in 5 ms: 100 G/s, half of int8's peak; 40 M in 1 ms: 40 of float's 50
    assert [g.of_peak for g in by_operator] == [50.0, None, 80.0]
    # at 200 G products/s and 10 GB/s: a's 8 MB take 0.8 ms, b's 400 M products 2, d's 10 MB 1
    assert [(layer.roof_ms, layer.bound_by) for layer in layers] == [
        (0.8, "bytes"), (2.0, "MACs"), (0.8, "MACs"), (1.0, "bytes"),
    ]  # fmt: skip
    assert [(g.roof_ms, g.gap_ms) for g in by_operator] == [(2.8, 2.2), (1.0, 3.0), (0.8, 0.2)]
    (both,) = groups(layers[:3], lambda layer: "all", 20.0, PEAKS)
    assert both.gmac_per_s == 90.0 and both.of_peak is None  # of no one peak


def test_kernels_account_for_the_sessions_time(found: Profile) -> None:
    kernels = sum(layer.ms for layer in found.layers)
    assert kernels + found.between_ms == pytest.approx(found.session_ms, abs=0.01)
    assert 0 <= found.between_ms < found.session_ms
    assert sum(group.ms for group in found.operators) == pytest.approx(kernels, abs=0.05)
    int8_ms = sum(layer.ms for layer in found.layers if layer.kind == "int8")
    assert found.int8_share == pytest.approx(100 * int8_ms / found.session_ms, abs=0.5)
    times = [layer.ms for layer in found.layers]
    assert times == sorted(times, reverse=True)
    assert found.threads == 1 and found.plain_ms.median > 0


def test_every_product_of_the_file_is_found_in_an_int8_kernel(
    found: Profile, int8: Artifact
) -> None:
    # eight results of 3x3x3 products at 33x33, as merged: sixteen of 12x3x2 at 33x17
    more = 8 * 33 * (2 * 12 * 3 * 2 * 17 - 3 * 3 * 3 * 33)
    assert found.found_macs == found.macs == int8.manifest.macs + more
    graph = onnx.load(int8.path).graph
    convolutions = {node.name for node in graph.node if node.op_type == "Conv"}
    assert {layer.name for layer in found.layers if layer.macs} == convolutions
    assert {layer.kind for layer in found.layers if layer.macs} == {"int8"}
    (int8_group,) = found.multiplying
    assert (int8_group.name, int8_group.macs) == ("int8", found.macs)
    assert found.peaks == {"int8": 200.0}
    assert "Resize" in {group.name for group in found.operators if group.macs == 0}


def test_a_float_file_has_no_int8(quick: pytest.MonkeyPatch, tiny: Artifact) -> None:
    found = profile(tiny, rounds=3)
    assert found.int8_share == 0 and found.peaks == {"float": 50.0}


def test_all_macs_of_float_files_are_found(
    quick: pytest.MonkeyPatch, tiny: Artifact, fp16: Artifact, half_io: Artifact
) -> None:
    for artifact in (tiny, fp16, half_io):
        found = profile(artifact, rounds=3)
        assert found.found_macs == artifact.manifest.macs
        graph = onnx.load(artifact.path).graph
        names = {node.name for node in graph.node if node.op_type == "Conv"}
        assert {layer.name for layer in found.layers if layer.macs} == names


def test_the_tables_show_what_was_found(found: Profile, int8: Artifact) -> None:
    text = profile_lines(found, layers=2)
    title, operators, layers, summary = text.split("\n\n")
    assert title.startswith(f"{int8.path.name}: input 1x3x65x65, ")
    assert [line.split()[0] for line in operators.splitlines()[2:]] == [
        group.name for group in found.operators
    ]
    assert [line.split()[0] for line in layers.splitlines()[2:]] == [
        layer.name for layer in found.layers[:2]
    ]
    assert f"int8 kernels: {found.int8_share:.1f} % of the time" in summary
    assert "this machine's peak in it" in summary and "Resize" in summary
    slowest = max(found.layers, key=lambda layer: layer.ms - layer.roof_ms)
    assert "at these peaks and 10 to 10 GB/s the kernels would take " in summary
    assert f"of one layer in {slowest.name} ({slowest.operator})" in summary
    assert len(profile_lines(found, layers=0).split("\n\n")) == 3


@pytest.mark.parametrize("measured", [(1e-3, 1e-3), (1e-3, 300.0), (300.0, 1e-3)])
def test_no_layer_is_faster_than_the_peak(
    int8: Artifact, monkeypatch: pytest.MonkeyPatch, measured: tuple[float, float]
) -> None:
    """Whatever a disturbed measurement says; KINDS are measured before, int8 again after."""
    answers = iter([measured[0], measured[0], measured[1]])
    monkeypatch.setattr(module, "measure_peak", lambda kind: next(answers))
    monkeypatch.setattr(module, "SHORTEST_MS", 0.0)
    found = profile(int8, rounds=3)
    fastest = max(layer.gmac_per_s for layer in found.layers if layer.gmac_per_s is not None)
    assert found.peaks["int8"] == pytest.approx(max(*measured, fastest), rel=0.01)
    assert max(layer.of_peak for layer in found.layers if layer.of_peak is not None) <= 100.5


def test_the_speed_of_short_kernels_does_not_count() -> None:
    class Known:
        @staticmethod
        def computed_macs_of(kernel: Kernel) -> int:
            return {"a": 50_000_000, "b": 90_000_000, "c": 0, "d": 7}[kernel.name]

    kernels = [
        Kernel("a", "QLinearConv", "int8", (1,), 0.5, 0),
        Kernel("b", "QLinearConv", "int8", (1,), 0.01, 0),
        Kernel("c", "Resize", "float", (1,), 0.5, 0),
        Kernel("d", "Conv", "float", (1,), 0.01, 0),
    ]
    # 50 M in half a millisecond; b's 9000 GMAC/s are a rounded time
    assert module._speeds(kernels, Known()) == {"int8": 100.0, "float": 0.0}  # type: ignore[arg-type]


def test_no_rounds_are_refused(tiny: Artifact) -> None:
    with pytest.raises(UsageError, match="--rounds 0"):
        profile(tiny, rounds=0)


def test_the_files_hold_all_layers_and_a_point_for_each_with_products(
    found: Profile, tmp_path: Path
) -> None:
    written = write_profile(found, tmp_path)
    assert [path.name for path in written] == ["profile.md", "profile.json", "roofline.svg"]
    text = (tmp_path / "profile.md").read_text()
    assert all(layer.name in text.replace("\\", "") for layer in found.layers)
    root = ElementTree.parse(tmp_path / "roofline.svg").getroot()
    said = [title.text or "" for title in root.iter("{http://www.w3.org/2000/svg}title")]
    for layer in found.layers:
        assert bool(layer.macs) == any(one.startswith(f"{layer.name} (") for one in said)
    assert "peak in int8: 200 GMAC/s" in said and "memory: 10 GB/s" in said
