import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import segport
from export.common.errors import SegportError, UsageError
from tests.networks import tiny as tiny_network
from tests.segport.process import process


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, voc: Path) -> tuple[object, ...]:
    """The way of the issue's four lines, with the module, its artifacts and its result."""
    folder = tmp_path_factory.mktemp("api")
    net = tiny_network().train()
    art = segport.export(net, folder=folder, size=(65, 65), classes="voc", progress=False)
    q = segport.quantize(art, "int8", images=f"{voc}:train", target="cpu", progress=False)
    return net, art, q, segport.validate([art, q], data=str(voc), progress=False)


def test_a_module_becomes_a_gated_int8_file(made: tuple[object, ...]) -> None:
    net, art, q, r = made
    assert net.training  # the user's own is left as it was
    assert (art.manifest.weights.how, art.manifest.model) == ("module", "Tiny")
    assert q.path.parent == art.path.parent
    assert q.manifest.parent_sha256 == art.manifest.sha256
    assert r.result.reference == "fp32" and r.folder == art.path.parent / "squash"
    assert r.gate(max_drop=100).passed and r.gate(max_drop=100).exit_code == 0
    failed = r.gate(max_drop=-100)
    assert (failed.passed, failed.exit_code) == (False, 1)
    assert [v.id for v in failed.verdicts] == ["int8"]


def test_results_show_themselves(made: tuple[object, ...]) -> None:
    _, art, q, r = made
    assert "int8" in repr(q) and str(q.path) in repr(q)
    assert "int8" in repr(r) and "squash" in repr(r)
    for one in (art, r, r.gate(max_drop=100)):
        assert one._repr_html_().count("<table>") == 1
    low, high = r.plot().axes[0].get_xlim()
    drop = r.result.artifact("int8").drop
    assert low < drop < high


def test_load_reads_artifacts_and_results(made: tuple[object, ...]) -> None:
    _, art, _, r = made
    assert segport.load(str(art.path)) == art
    assert segport.load(r.folder).result == r.result
    assert segport.load(r.folder / "result.json").result == r.result


def test_images_in_memory_are_as_good_as_files(
    made: tuple[object, ...], voc: Path, tmp_path: Path
) -> None:
    _, art, q, _ = made
    names = (voc / "ImageSets/Segmentation/train.txt").read_text().split()
    files = [voc / f"JPEGImages/{name}.jpg" for name in names]
    by_file = segport.quantize(art, "int8", tmp_path, images=files, target="cpu", progress=False)
    assert by_file.path.read_bytes() == q.path.read_bytes()
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (70, 80, 3), dtype=np.uint8) for _ in range(2)]
    pairs = [(torch.from_numpy(p.transpose(2, 0, 1)), np.full((70, 80), 3, np.uint8))
             for p in pictures]  # fmt: skip
    found = segport.validate(art, pairs, tmp_path / "r", accept=["one-class"], progress=False)
    assert found.result.dataset.labelled and found.result.dataset.images == 2


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda art, out: segport.export(3, folder=out), "network: give a torch module or a name"),
        (
            lambda art, out: segport.export(torch.nn.Conv2d, folder=out),
            "an instance, not its class",
        ),
        (lambda art, out: segport.quantize(3), "artifact: give what segport.export returned"),
        (lambda art, out: segport.quantize(art, "int8", 3), "folder: give a path, not int"),
        (lambda art, out: segport.quantize(art, images=3), "images: give DATA, a folder or images"),
        (lambda art, out: segport.quantize(art, images=[]), "images: holds no images"),
        (
            lambda art, out: segport.quantize(art, images=[np.zeros((8, 8, 3))]),
            "images[0]: give uint8 of 0-255",
        ),
        (lambda art, out: segport.validate(art, 3), "data: give DATA"),
        (lambda art, out: segport.load(3), "path: give a path, not int"),
    ],
)
def test_wrong_types_are_one_clear_line(
    made: tuple[object, ...], tmp_path: Path, call: object, said: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        call(made[1], tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_module_cannot_be_rebuilt_as_reference(made: tuple[object, ...], voc: Path) -> None:
    with pytest.raises(SegportError, match="exported from a module in memory"):
        segport.validate(made[1], str(voc), made[3].folder / "torch", reference="torch",
                         progress=False)  # fmt: skip


def test_the_public_names_are_those_listed_and_documented() -> None:
    assert sorted(segport._HOMES) == segport.__all__
    for name in segport.__all__:
        found = getattr(segport, name)
        assert found.__doc__ and found.__module__ == segport._HOMES[name]
    page = (Path(__file__).parents[3] / "docs/api.md").read_text()
    assert sorted(re.findall(r"^\| `segport\.(\w+)`", page, re.M)) == segport.__all__
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        _ = segport.quantise


def test_importing_segport_is_light() -> None:
    code = (
        "import sys, segport; dir(segport)\n"
        "print(sorted({'torch', 'onnxruntime', 'onnx', 'numpy'} & set(sys.modules)))"
    )
    assert process(sys.executable, "-c", code).stdout == "[]\n"
