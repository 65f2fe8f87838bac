"""Files of the right form that hold anything: structured as they should be, with other contents.

Bytes changed at random seldom get past a parser of JSON, PNG or zip; hypothesis changes what they
hold. `SEGPORT_FUZZ=5000` tries that many.
"""

import json
import struct
import tomllib
import zlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from export.artifact.artifact import Artifact
from tests.fuzz.parsers import PARSERS
from tests.fuzz.test_parsers import TRIES

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.processes, pytest.mark.slow]
Drawn = st.DrawFn
few = settings(
    max_examples=TRIES,
    deadline=None,
    database=None,
    derandomize=TRIES == 100,  # a plain run is the same every time
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_NUMBERS = st.integers() | st.floats() | st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**400])
ANYTHING = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_GONE = object()


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if not isinstance(value, dict | list):
        return []
    found = []
    for key, one in value.items() if isinstance(value, dict) else enumerate(value):
        found += [(*path, key), *_places(one, (*path, key))]
    return found


@st.composite
def changed(draw: Drawn, document: Any) -> Any:
    """`document` with one to three values replaced by anything, taken out, or put elsewhere."""
    copy = deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(copy)
        assume(places)
        *outer, last = draw(st.sampled_from(places))
        holder = copy
        for key in outer:
            holder = holder[key]
        elsewhere = st.sampled_from(places).map(lambda path: _at(copy, path))
        value = draw(ANYTHING | st.just(_GONE) | elsewhere)
        if value is _GONE:
            del holder[last]
        else:
            holder[last] = deepcopy(value)
    return copy


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize(
    "name", ["result", "baseline", "manifest", "coco", "diagnosis", "preprocessor", "stage-record"]
)
def test_json_that_holds_anything(name: str, tmp_path: Path, tiny: Artifact) -> None:
    parser = PARSERS[name]
    file = parser.seed(tmp_path, tiny)

    @few
    @given(changed(json.loads(file.read_text())))
    def read(document: Any) -> None:
        file.write_text(json.dumps(document), errors="surrogatepass")
        parser.refuses(file)

    read()


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


@pytest.mark.parametrize("name", ["recipe", "label-map"])
def test_toml_that_holds_anything(name: str, tmp_path: Path, tiny: Artifact) -> None:
    parser = PARSERS[name]
    file = parser.seed(tmp_path, tiny)

    @few
    @given(changed(tomllib.loads(file.read_text())))
    def read(document: dict[str, Any]) -> None:
        lines = [f"{json.dumps(key)} = {_toml(value)}\n" for key, value in document.items()]
        file.write_text("".join(lines), errors="surrogatepass")
        parser.refuses(file)

    read()


@pytest.mark.parametrize("name", ["csv", "split-file", "class-file"])
def test_lines_of_any_text(name: str, tmp_path: Path, tiny: Artifact) -> None:
    parser = PARSERS[name]
    file = parser.seed(tmp_path, tiny)
    sound = file.read_text().splitlines()
    words = st.text(max_size=30) | st.sampled_from([*sound, "a.jpg", "a", "../a", "/a", "a" * 300])

    @few
    @given(st.lists(st.lists(words, min_size=1, max_size=3)), st.sampled_from(" ,\t"))
    def read(rows: list[list[str]], between: str) -> None:
        lines = "\n".join(between.join(row) for row in rows)
        file.write_text(f"{sound[0]}\n{lines}", errors="surrogatepass")
        parser.refuses(file)

    read()


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


@pytest.mark.parametrize("name", ["png", "mask"])
def test_png_headers_that_say_anything(name: str, tmp_path: Path, tiny: Artifact) -> None:
    """Sums are right, so that Pillow believes them."""
    parser = PARSERS[name]
    file = parser.seed(tmp_path, tiny)
    sides = st.sampled_from([0, 1, 9, 20_000, 65_535, 2**31 - 1, 2**32 - 1]) | st.integers(1, 99)
    small = st.sampled_from([0, 1, 2, 3, 4, 6, 8, 16, 255])

    @few
    @given(sides, sides, small, small, small, st.binary(max_size=800), st.binary(max_size=900))
    @example(9_000, 9_000, 16, 6, 0, b"", b"")
    def read(
        width: int, height: int, depth: int, colour: int, interlaced: int, table: bytes, rows: bytes
    ) -> None:
        header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
        chunks = [(b"IHDR", header), (b"PLTE", table), (b"tRNS", table[:9])]
        chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
        file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*one) for one in chunks))
        parser.refuses(file)

    read()


def test_safetensors_headers_that_say_anything(tmp_path: Path, tiny: Artifact) -> None:
    parser = PARSERS["safetensors"]
    file = parser.seed(tmp_path, tiny)
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    lengths = st.none() | st.integers(0, 2**64 - 1)

    @few
    @given(changed(json.loads(data[8 : 8 + length])), lengths)
    def read(header: Any, said: int | None) -> None:
        text = json.dumps(header).encode(errors="surrogatepass")
        number = len(text) if said is None else said
        file.write_bytes(struct.pack("<Q", number) + text + data[8 + length :])
        parser.refuses(file)

    read()


@pytest.mark.parametrize("name", ["onnx", "onnx-import"])
def test_onnx_that_holds_anything(name: str, tmp_path: Path, tiny: Artifact) -> None:
    parser = PARSERS[name]
    file = parser.seed(tmp_path, tiny)

    @settings(few, max_examples=max(1, TRIES // parser.slow))
    @given(changed(MessageToDict(onnx.load(file))))
    def read(document: Any) -> None:
        try:
            model = ParseDict(document, onnx.ModelProto())
        except (ParseError, TypeError, AttributeError, ValueError):
            assume(False)
        file.write_bytes(model.SerializeToString())
        parser.refuses(file)

    read()


_SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
_ARRAYS = arrays.arrays(arrays.scalar_dtypes(), _SHAPES)


@pytest.mark.parametrize("name", ["counts", "cache-entry"])
def test_arrays_of_any_kind(name: str, tmp_path: Path, tiny: Artifact) -> None:
    parser = PARSERS[name]
    file = parser.seed(tmp_path, tiny)
    with np.load(file) as opened:
        sound = dict(opened)

    @few
    @given(st.dictionaries(st.sampled_from(sorted(sound)), _ARRAYS | st.just(_GONE), min_size=1))
    def read(other: dict[str, Any]) -> None:
        found = {key: value for key, value in (sound | other).items() if value is not _GONE}
        np.savez(file, **found)
        parser.refuses(file)

    read()


_KINDS: list[Callable[[], object]] = [
    lambda: torch.ones(2, dtype=torch.complex64),
    lambda: torch.ones(2, dtype=torch.bool),
    lambda: torch.eye(3).to_sparse(),
    lambda: torch.eye(3).to_sparse_csr(),
    lambda: torch.empty(2**40, device="meta"),
    lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    lambda: torch.ones(1).expand(2**20, 2**20),
    lambda: torch.full((2, 3, 2, 2), float("nan")),
    lambda: torch.nn.Parameter(torch.ones(2)),
    lambda: torch.ones(0),
]


def test_checkpoints_that_hold_anything(tmp_path: Path, tiny: Artifact) -> None:
    parser = PARSERS["checkpoint"]
    file = parser.seed(tmp_path, tiny)
    sound = {"model_state": {"conv.weight": torch.ones(2, 3, 2, 2)}, "epoch": 3}
    tensors = st.sampled_from(_KINDS).map(lambda make: make())
    named = st.dictionaries(st.text(max_size=9) | st.just("conv.bias"), tensors)

    @few
    @given(changed(sound), named)
    def read(document: Any, more: dict[str, object]) -> None:
        if isinstance(document, dict) and isinstance(document.get("model_state"), dict):
            document["model_state"] |= more
        torch.save(document, file)
        parser.refuses(file)

    read()
