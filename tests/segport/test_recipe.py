from collections.abc import Callable
from pathlib import Path

import pytest

from export.common.errors import UsageError
from segport.recipe_file import load_recipe
from segport.recipe_values import request_of, settings_of
from validate.gating.kinds import KINDS

WriteRecipe = Callable[..., Path]

DESIGN = """
name = "deeplabv3-mobilenet-voc"
[model]
name = "deeplabv3_mobilenet"
weights = "../shared/checkpoints/deeplabv3_mobilenet_voc_os16.pth"
output_stride = 16
size = [513, 513]
output = "logits"
[data]
calibration = "../shared/voc/VOCdevkit:train"
samples = 64
seed = 0
validation = "../shared/voc/VOCdevkit:val"
[[artifact]]
precision = "fp16"
[[artifact]]
precision = "int8"
target = "cpu"
range = "minmax"
[validate]
protocols = ["squash", "center-crop"]
reference = "torch"
[gate.max_drop]
fp16 = 0.05
int8 = 0.5
"""
SMALL = """
name = "x"
[model]
name = "deeplabv3_mobilenet"
weights = "random"
[data]
calibration = "data"
validation = "data"
"""
IMPORTED = SMALL.replace('name = "deeplabv3_mobilenet"\nweights = "random"', 'onnx = "net.onnx"')


def _write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def _message(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_the_designs_recipe_is_read_with_paths_relative_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recipe = load_recipe(_write(tmp_path, DESIGN))
    assert recipe.name == "deeplabv3-mobilenet-voc"
    assert recipe.model.name == "deeplabv3_mobilenet"
    assert recipe.model.weights == str(
        tmp_path / "../shared/checkpoints/deeplabv3_mobilenet_voc_os16.pth"
    )
    assert (recipe.model.output_stride, recipe.model.size) == (16, (513, 513))
    assert recipe.data.calibration == str(tmp_path / "../shared/voc/VOCdevkit:train")
    assert recipe.data.validation == str(tmp_path / "../shared/voc/VOCdevkit:val")
    assert (recipe.data.samples, recipe.data.seed) == (64, 0)
    assert [section.precision for section in recipe.artifact] == ["fp16", "int8"]
    assert recipe.validation.protocols == ("squash", "center-crop")
    assert recipe.gate is not None and recipe.gate.max_drop == {"fp16": 0.05, "int8": 0.5}


def test_words_are_no_paths_and_absolute_paths_stay(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, SMALL))
    assert (recipe.model.weights, recipe.model.classes) == ("random", None)
    assert recipe.gate is None and recipe.artifact == ()
    text = SMALL.replace('calibration = "data"', 'calibration = "/abs/data:train"')
    text = text.replace('weights = "random"', 'weights = "w.pth"\nclasses = "names.txt"')
    text += '[gate]\nbaseline = "base.json"\n'
    recipe = load_recipe(_write(tmp_path, text))
    assert recipe.data.calibration == "/abs/data:train"
    assert recipe.model.weights == str(tmp_path / "w.pth")
    assert recipe.model.classes == str(tmp_path / "names.txt")
    assert recipe.gate is not None and recipe.gate.baseline == str(tmp_path / "base.json")


def test_urls_of_images_are_no_paths(tmp_path: Path) -> None:
    text = DESIGN.replace("../shared/voc/", "s3://bucket/").replace(
        'range = "minmax"', 'max_drop = 1.0\ndata = "gs://more/images"'
    )
    (file := tmp_path / "recipe.toml").write_text(text)
    recipe = load_recipe(file)
    assert recipe.data.calibration == "s3://bucket/VOCdevkit:train"
    assert recipe.data.validation == "s3://bucket/VOCdevkit:val"
    assert recipe.artifact[1].data == "gs://more/images"


def test_defaults_are_those_of_the_command_line(tmp_path: Path) -> None:
    recipe = load_recipe(_write(tmp_path, SMALL))
    assert (recipe.data.samples, recipe.data.seed) == (64, 0)
    assert (recipe.model.batch, recipe.model.output) == (1, "logits")
    assert recipe.validation.protocols == ("squash",)


def test_dynamic_size_and_batch(tmp_path: Path) -> None:
    text = SMALL.replace("[data]", 'size = "dynamic"\nbatch = "dynamic"\n[data]')
    recipe = load_recipe(_write(tmp_path, text))
    assert (recipe.model.size, recipe.model.batch) == ("dynamic", "dynamic")


def test_an_artifact_section_becomes_settings(tmp_path: Path) -> None:
    text = SMALL + (
        '[[artifact]]\nprecision = "int8"\nrange = "percentile:99.9"\nio = "fp16"\n'
        'guard = false\nkeep_float = ["head*"]\n'
    )
    (section,) = load_recipe(_write(tmp_path, text)).artifact
    settings = settings_of(section)
    assert (settings.range, settings.io, settings.guard) == ("percentile:99.9", "fp16", False)
    assert (settings.keep_float, settings.target) == (("head*",), "cpu")


def test_an_import_is_described_by_onnx_mean_and_std(tmp_path: Path) -> None:
    text = IMPORTED.replace(
        "[data]", "mean = [0.5, 0.4, 0.3]\nstd = [0.2, 0.2, 0.2]\nsize = [384, 384]\n[data]"
    )
    model = load_recipe(_write(tmp_path, text)).model
    assert model.onnx == str(tmp_path / "net.onnx") and model.name is None
    assert (model.mean, model.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


def test_the_gate_takes_every_kind_of_budget_the_command_line_has(tmp_path: Path) -> None:
    limits = {kind: "6MB" if kind == "max_size" else 0.5 for kind in KINDS}
    limits |= {"min_agreement": 99, "min_fidelity": 95}
    lines = [
        f'{kind} = {{int8 = {limit!r}, "int8@npu" = {limit!r}}}' for kind, limit in limits.items()
    ]
    text = SMALL + "[gate]\nclass_tolerance = 2\n" + "\n".join(lines)
    gate = load_recipe(_write(tmp_path, text)).gate
    assert gate is not None and gate.class_tolerance == 2
    assert gate.budgets.keys() == KINDS.keys()
    assert gate.budgets["max_size"] == {"int8": 6e6, "int8@npu": 6e6}
    assert gate.budgets["min_agreement"]["int8@npu"] == 99


def test_a_class_is_budgeted_alone_or_for_an_artifact(tmp_path: Path) -> None:
    text = SMALL + '[gate.max_class_drop]\nperson = 2\n"int8:person" = 3\n'
    gate = load_recipe(_write(tmp_path, text)).gate
    assert gate is not None
    assert gate.budgets == {"max_class_drop": {"person": 2, "int8:person": 3}}


@pytest.mark.parametrize(
    ("old", "new", "place", "nearest"),
    [
        ("[gate.max_drop]", "[gate.min_agrement]", "gate.min_agrement", "min_agreement"),
        ("[data]", "[dta]", "dta", "data"),
        ("[validate]", "[validation]", "validation", "validate"),
        ("[gate.max_drop]", "[gate.max_drops]", r"gate.max_drops", "max_drop"),
        ("samples = 3", "sampels = 3", "data.sampels", "samples"),
        ('weights = "default"', 'weigths = "default"', "model.weigths", "weights"),
        ("[[artifact]]", "[[artifacts]]", "artifacts", "artifact"),
        ('range = "minmax"', 'rage = "minmax"', "artifact.1.rage", "range"),
        (
            'protocols = ["squash", "center-crop"]',
            'protocol = ["full"]',
            "validate.protocol",
            "pro",
        ),
    ],
)
def test_unknown_keys_are_named_with_the_nearest(
    write_recipe: WriteRecipe, old: str, new: str, place: str, nearest: str
) -> None:
    message = _message(write_recipe((old, new)))
    assert f"unknown key '{place}'" in message
    assert f"did you mean '{nearest}" in message


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("name = ", "not valid TOML"),
        ("[model", "not valid TOML"),
        (SMALL.replace("[data]", "[data]\n[data]"), "not valid TOML"),
        (SMALL.replace('name = "x"\n', ""), "name: Field required"),
        (SMALL.split("[data]", maxsplit=1)[0], "data: Field required"),
        (SMALL.replace('validation = "data"', ""), "data.validation: Field required"),
        (SMALL + "[[artifact]]\nio = 'fp16'\n", "artifact.0.precision: Field required"),
        (SMALL.replace("[data]", "[data]\nsamples = 'many'"), "data.samples: "),
        (SMALL.replace("[data]", "size = [1, 2, 3]\n[data]"), "model.size"),
        (SMALL.replace("[data]", "onnx = 'a.onnx'\n[data]"), "either name or onnx"),
        (SMALL.replace('name = "deeplabv3_mobilenet"', ""), "either name or onnx"),
        (SMALL.replace('weights = "random"', ""), "needs weights"),
        (SMALL.replace("[data]", "layout = 'nhwc'\n[data]"), "layout goes with onnx"),
        (SMALL + "[validate]\nreference = 'torhc'\n", "validate.reference"),
        (IMPORTED + "[validate]\nreference = 'torch'\n", "reference"),
        (SMALL + "[gate]\nmax_drop = 0.5\n", "gate.max_drop"),
        (SMALL + "[gate.max_drop]\nint8 = nan\n", "gate.max_drop.int8"),
        (SMALL + "[gate]\n", "gate"),
        (SMALL + "[gate]\nclass_tolerance = -1\n", "gate.class_tolerance"),
        (SMALL + "[gate.max_drop]\nint8 = true\n", "gate.max_drop.int8: give POINTS"),
        (SMALL + "[gate.min_agreement]\nint8 = 0.99\n", "gate.min_agreement.int8"),
        (SMALL + "[gate.max_size]\nint8 = '6 MO'\n", "gate.max_size.int8"),
        (SMALL + "[gate.max_class_drop]\n'int8:' = 1\n", "give a class"),
        (SMALL + "[gate.max_latency_ratio]\nint8 = 0\n", "gate.max_latency_ratio.int8"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, fragment: str) -> None:
    assert fragment in _message(_write(tmp_path, text)).split("recipe.toml: ", 1)[1]


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    assert "cannot read" in _message(tmp_path / "none.toml")
    assert "cannot read" in _message(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "not valid TOML" in _message(tmp_path / "binary.toml")


@pytest.mark.parametrize("name", ["deeplabv3_mobilenet", "deeplabv3plus_mobilenet"])
def test_the_committed_recipes_are_valid(name: str) -> None:
    folder = Path(__file__).resolve().parents[2] / "recipes"
    recipe = load_recipe(folder / f"{name}.toml")
    assert recipe.model.name == name
    made = [(section.precision, section.target) for section in recipe.artifact]
    assert made == [("fp16", "cpu"), ("int8", "cpu"), ("int8", "npu")]


def test_methods_and_a_search_are_part_of_an_artifact(tmp_path: Path) -> None:
    text = SMALL + (
        '[[artifact]]\nprecision = "int8"\nwith = ["absorb-bias"]\nskip = ["gptq"]\n'
        'max_drop = 0.3\ndata = "more:train"\nsearch_minutes = 0.5\nforce = true\n'
    )
    recipe = load_recipe(_write(tmp_path, text))
    (section,) = recipe.artifact
    request = request_of(section, recipe)
    assert request is not None and request.minutes == 0.5 and section.force
    settings = settings_of(section)
    assert (settings.added, settings.skipped) == (("absorb-bias",), ("gptq",))
    assert (section.max_drop, section.data) == (0.3, str(tmp_path / "more:train"))
    assert settings.range is None  # the target's own


def test_a_search_has_the_command_lines_limit_of_time_and_cannot_have_none(tmp_path: Path) -> None:
    text = SMALL + '[[artifact]]\nprecision = "int8"\nmin_agreement = 99\n'
    recipe = load_recipe(_write(tmp_path, text))
    request = request_of(recipe.artifact[0], recipe)
    assert request is not None and request.minutes == 4
    recipe = load_recipe(_write(tmp_path, text + "search_minutes = 0\n"))
    with pytest.raises(UsageError, match="give a number above 0"):
        request_of(recipe.artifact[0], recipe)
