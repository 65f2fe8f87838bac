"""Networks of segmentation-models-pytorch and transformers, with random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.common.errors import CheckpointError, SegportError, UsageError
from export.networks.libraries import default_name, library_network, library_weights, preset_of
from export.networks.network import load_network
from export.networks.table import zoo_entry
from export.onnx_export import export_model
from export.ort.sessions import open_session, run
from segport.recipe_file import load_recipe

pytestmark = pytest.mark.slow  # the libraries take seconds to import

LABELS = ("road", "sky", "car")
SMALL = "smp:Unet?encoder_name=resnet18&decoder_channels=(32,16,8,8,8)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What save_pretrained writes of a small SegFormer of three classes."""
    from transformers import (
        SegformerConfig,
        SegformerForSemanticSegmentation,
        SegformerImageProcessor,
    )

    config = SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        id2label=dict(enumerate(LABELS)),
    )
    saved = tmp_path_factory.mktemp("hugging") / "segformer-tiny"
    torch.manual_seed(0)
    SegformerForSemanticSegmentation(config).save_pretrained(saved)
    SegformerImageProcessor(image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6]).save_pretrained(
        saved
    )
    return saved


def test_smp_gives_what_its_own_class_gives() -> None:
    import segmentation_models_pytorch as smp

    torch.manual_seed(7)
    found = library_network("smp:FPN?encoder_name=resnet18&decoder_dropout=0.0", 5)
    torch.manual_seed(7)
    wanted = smp.FPN("resnet18", encoder_weights=None, classes=5, decoder_dropout=0.0)
    assert isinstance(found, smp.FPN)
    for (name, one), other in zip(
        found.state_dict().items(), wanted.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name


def test_smp_goes_to_a_file_that_computes_the_same(tmp_path: Path) -> None:
    made = export_model(f"{SMALL}&classes=3", "random", tmp_path, size=(96, 64), classes="a,b,c")
    assert made.path.name == "smp-Unet-fp32.onnx"
    network = load_network(made.manifest.model, "random", classes=3).module
    image = np.random.default_rng(0).normal(size=(1, 3, 96, 64)).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(run(open_session(made.path), image)[0], wanted, atol=1e-3)


def test_smp_takes_its_weights_from_a_file(tmp_path: Path) -> None:
    source = library_network(SMALL, 21)
    file = tmp_path / "w.pth"
    torch.save({"state_dict": {f"net.{k}": v for k, v in source.state_dict().items()}}, file)
    loaded = load_network(SMALL, str(file), classes=21)
    assert loaded.weights.prefix == "net."
    assert torch.equal(next(loaded.module.network.parameters()), next(iter(source.parameters())))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("smp:Unett", "did you mean 'Unet'"),
        ("smp:", "unknown smp architecture ''"),
        ("smp:Unet?encoder=resnet18", "did you mean 'encoder_name'"),
        ("smp:Unet?encoder_name=resnet1", "resnet1"),
        ("smp:Unet?encoder_weights=imagenet", "unknown argument of smp:Unet 'encoder_weights'"),
        ("smp:Unet?classes=__import__('os')", "smp:Unet"),
        ("hf:/absent", "no config.json there"),
    ],
)
def test_a_name_that_asks_for_nothing_there_is_one_line(model: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        library_network(model, 21)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_smp_has_no_default_weights() -> None:
    with pytest.raises(CheckpointError, match="no default weights; give --weights FILE"):
        library_weights("smp:Unet")


def test_hugging_face_brings_weights_names_and_normalisation(folder: Path, tmp_path: Path) -> None:
    from transformers import SegformerForSemanticSegmentation

    made = export_model(f"hf:{folder}", "default", tmp_path, size=(64, 96))
    manifest = made.manifest
    assert (manifest.name, manifest.classes) == ("hf-segformer-tiny", LABELS)
    assert (manifest.input.mean, manifest.input.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (manifest.weights.how, manifest.weights.file) == ("default", "model.safetensors")

    network = SegformerForSemanticSegmentation.from_pretrained(folder).eval()
    image = np.random.default_rng(0).normal(size=(1, 3, 64, 96)).astype(np.float32)
    with torch.no_grad():
        quarter = network(torch.from_numpy(image)).logits
        wanted = nn.functional.interpolate(quarter, size=(64, 96), mode="bilinear").numpy()
    np.testing.assert_allclose(run(open_session(made.path), image)[0], wanted, atol=1e-4)


def test_what_was_asked_for_beats_what_comes_with_the_folder(folder: Path, tmp_path: Path) -> None:
    made = export_model(
        f"hf:{folder}", "random", tmp_path, size=(64, 64), classes="a,b,c", mean=(0.5,), std=(0.5,)
    )
    assert made.manifest.classes == ("a", "b", "c")
    assert made.manifest.input.mean == (0.5, 0.5, 0.5)


def test_code_in_a_folder_is_not_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "evil.C", "AutoModelForSemanticSegmentation": "evil.M"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text("open('ran', 'w').close()")
    with pytest.raises(SegportError):
        library_network(f"hf:{tmp_path}", 3)
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("config.json", "{", "config.json: Invalid JSON"),
        ("config.json", "[]", "config.json: Input should be an object"),
        ("preprocessor_config.json", '{"do_rescale": false}', "give --mean and --std"),
        ("preprocessor_config.json", '{"rescale_factor": "x"}', "preprocessor_config.json"),
        ("preprocessor_config.json", '{"image_mean": ["a"]}', "preprocessor_config.json"),
    ],
)
def test_a_damaged_folder_is_one_line(file: str, text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"id2label": {"0": "a", "1": "b"}}')
    (tmp_path / file).write_text(text)
    with pytest.raises(UsageError, match=reason):
        preset_of(f"hf:{tmp_path}")


def test_a_folder_without_weights_says_how_to_save_them(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(CheckpointError, match=r"holds no model.safetensors"):
        library_weights(f"hf:{tmp_path}")


def test_weights_of_another_network_do_not_pass(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="does not hold"):
        library_weights(f"hf:{tmp_path}")


def test_names_of_files() -> None:
    assert default_name("smp:Unet?classes=2") == "smp-Unet"
    assert default_name("hf:some/folder/") == "hf-folder"
    assert default_name("deeplabv3_mobilenet") == "deeplabv3_mobilenet"


def test_a_wrong_name_of_a_model_says_what_else_there_is() -> None:
    with pytest.raises(UsageError, match=r"smp:\.\.\., hf:\.\.\. or package.module:callable"):
        zoo_entry("unet")


def test_a_recipe_finds_the_folder_beside_it(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'name = "n"\n[model]\nname = "hf:net"\nweights = "default"\n'
        '[data]\ncalibration = "c"\nvalidation = "v"\n'
    )
    assert load_recipe(recipe).model.name == f"hf:{tmp_path / 'net'}"
