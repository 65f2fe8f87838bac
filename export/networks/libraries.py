"""Networks of other libraries by name: `smp:Unet?encoder_name=resnet18` and `hf:FOLDER`.

Nothing is downloaded, and no code that comes with weights is run.
"""

import ast
import importlib
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, FiniteFloat, ValidationError
from torch import nn

from export.common.errors import CheckpointError, SegportError, UsageError, first_line, unknown
from export.common.files import file_bytes
from export.common.validation import first_wrong
from export.networks.table import LIBRARIES, Library, Preset

_FOREIGN = ("encoder_weights", "in_channels")
"""Arguments of segmentation-models-pytorch that would download, or take other than RGB."""
_WEIGHTS = "model.safetensors"

Read = TypeVar("Read", bound=BaseModel)


def library_of(model: str) -> tuple[Library, str] | None:
    """Return the library that a model's name begins with, and the rest; None for another name."""
    return _named(model) if model.partition(":")[0] in LIBRARIES else None


def library_network(model: str, classes: int) -> nn.Module:
    """Build a library's network with fresh weights.

    Raises UsageError when the library is not installed, or does not make what the name asks for.
    """
    library, source = _named(model)
    with _explained(model):
        return library.build(_imported(library, model), source, classes)


def library_weights(model: str) -> tuple[nn.Module, Path]:
    """Return a library's network with its default weights, and their file.

    Raises CheckpointError where there are none, UsageError as `library_network` does.
    """
    library, source = _named(model)
    with _explained(model):
        return library.load(_imported(library, model), source)


def _named(model: str) -> tuple[Library, str]:
    prefix, _, source = model.partition(":")
    return LIBRARIES[prefix], source


def _imported(library: Library, model: str) -> ModuleType:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read at import: a name must download nothing
    try:
        return importlib.import_module(library.package)
    except ImportError as error:
        raise UsageError(
            f"model {model}: needs {library.package.replace('_', '-')}, which is not installed "
            f"({first_line(error)}); pip install 'segport[{library.extra}]'"
        ) from error


@contextmanager
def _explained(model: str) -> Iterator[None]:
    try:
        yield
    except SegportError:
        raise
    except Exception as error:  # a library may raise anything
        raise UsageError(f"model {model}: {type(error).__name__}: {first_line(error)}") from error


def default_name(model: str) -> str:
    """Return what a model's artifacts are called: without arguments, and without folders."""
    if library_of(model) is None:
        return model
    prefix, _, source = model.partition(":")
    return f"{prefix}-{Path(source.partition('?')[0]).resolve().name}"


def preset_of(model: str) -> Preset:
    """Return what comes with a model; an empty preset for a model of no library."""
    library = library_of(model)
    return library[0].preset(library[1]) if library else Preset()


def smp(package: ModuleType, source: str, classes: int) -> nn.Module:
    """Call a class of segmentation-models-pytorch with what stands behind the question mark."""
    name, _, query = source.partition("?")
    known = {kind.__name__: kind for kind in package.MODEL_ARCHITECTURES_MAPPING.values()}
    if name not in known:
        raise UsageError(unknown("smp architecture", name, known))
    given = {key: _value(text) for key, text in parse_qsl(query, keep_blank_values=True)}
    allowed = set(inspect.signature(known[name]).parameters) - {*_FOREIGN, "kwargs"}
    for key in given:
        if key not in allowed:
            raise UsageError(unknown(f"argument of smp:{name}", key, sorted(allowed)))
    network: nn.Module = known[name](**{"classes": classes} | given | {"encoder_weights": None})
    return network


def _value(text: str) -> Any:
    """Read a number, tuple, True, False or None; anything else is a word."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def smp_weights(package: ModuleType, source: str) -> tuple[nn.Module, Path]:
    """Raise CheckpointError: that library has none that were trained to segment."""
    raise CheckpointError(
        f"smp:{source} has no default weights; give --weights FILE with its state_dict, or "
        "--weights random for a dry run"
    )


def hugging_face(package: ModuleType, source: str, classes: int) -> nn.Module:
    """Make what the folder's config.json describes; its own number of classes counts."""
    config = package.AutoConfig.from_pretrained(
        _folder(source), local_files_only=True, trust_remote_code=False
    )
    network: nn.Module = package.AutoModelForSemanticSegmentation.from_config(
        config, trust_remote_code=False
    )
    return network


def _folder(source: str) -> Path:
    folder = Path(source)
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"model hf:{source}: no config.json there; give the folder that save_pretrained wrote"
        )
    return folder


def hugging_face_weights(package: ModuleType, source: str) -> tuple[nn.Module, Path]:
    """Have the library load the folder's weights: it knows what their names were in the past."""
    package.utils.logging.disable_progress_bar()
    file = _folder(source) / _WEIGHTS
    if not file.is_file():
        raise CheckpointError(
            f"hf:{source}: holds no {_WEIGHTS}; save it there with save_pretrained, in one file"
        )
    network, found = package.AutoModelForSemanticSegmentation.from_pretrained(
        _folder(source),
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    wrong = sorted({*map(str, found["missing_keys"]), *map(str, found["mismatched_keys"])})
    if wrong:
        raise CheckpointError(f"{file}: does not hold {', '.join(wrong[:6])}")
    return network.float(), file


class _Config(BaseModel):
    """What is read of config.json."""

    id2label: dict[int, str] = {}


class _Preprocessing(BaseModel):
    """What is read of preprocessor_config.json."""

    do_rescale: bool = True
    rescale_factor: FiniteFloat = 1 / 255
    do_normalize: bool = True
    image_mean: tuple[FiniteFloat, ...] | None = None
    image_std: tuple[FiniteFloat, ...] | None = None


def hugging_face_preset(source: str) -> Preset:
    """Return the normalisation and classes that a folder says. Raises UsageError for others."""
    folder = _folder(source)
    labels = _read(folder / "config.json", _Config).id2label
    numbered = bool(labels) and sorted(labels) == list(range(len(labels)))
    names = tuple(labels[index] for index in sorted(labels)) if numbered else None
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        return Preset(classes=names)
    preprocessing = _read(file, _Preprocessing)
    if not preprocessing.do_rescale or abs(255 * preprocessing.rescale_factor - 1) > 1e-4:
        raise UsageError(f"{file}: pixels are not divided by 255 there; give --mean and --std")
    if not preprocessing.do_normalize:
        return Preset((0.0,), (1.0,), names)
    return Preset(preprocessing.image_mean, preprocessing.image_std, names)


def _read(file: Path, kind: type[Read]) -> Read:
    try:
        return kind.model_validate_json(file_bytes(file))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise UsageError(f"{file}: {first_wrong(error)}") from error
