"""What SBD needs of MATLAB's MAT-file format, level 5.

Written from MathWorks' "MAT-File Format". scipy's reader crashes the process on damaged files.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STRUCT = 2
_DTYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
_LARGEST = 1 << 28
"""Bytes that one variable may unpack to; SBD's are of half a million pixels."""


class _Element(NamedTuple):
    kind: int
    data: bytes


class _Array(NamedTuple):
    """A matrix: its class, size, name, and the elements that hold its content."""

    kind: int
    dims: tuple[int, ...]
    name: str
    rest: list[_Element]


def read_field(data: bytes, variable: str, field: str) -> NDArray[np.uint8]:
    """Return the 2-D array `variable.field` (1x1 struct) of a MAT-file, uint8 (H, W).

    Raises ValueError, struct.error or zlib.error for any other file.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("no MAT-file of level 5")
    for element in _elements(data[_HEADER:], order):
        array = _array(_unpacked(element, order), order)
        if array.name == variable and array.kind == _STRUCT:
            return _pixels(_array(_field(array, field, order), order), order)
    raise ValueError(f"no struct {variable}")


def _elements(data: bytes, order: str) -> Iterator[_Element]:
    """Yield the elements that lie one behind the other, those with 4 bytes or less packed."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:
            kind, size = kind & 0xFFFF, kind >> 16
            start, end = at + 4, at + 8
        else:
            start = at + 8
            end = start + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data):
            raise ValueError("ends early")
        yield _Element(kind, data[start : start + size])
        at = end


def _unpacked(element: _Element, order: str) -> _Element:
    if element.kind != _COMPRESSED:
        return element
    data = zlib.decompressobj().decompress(element.data, _LARGEST)
    for inner in _elements(data, order):
        return inner
    raise ValueError("a compressed element is empty")


def _array(element: _Element, order: str) -> _Array:
    if element.kind != _MATRIX:
        raise ValueError("no matrix")
    flags, dims, name, *rest = _elements(element.data, order)
    (kind,) = struct.unpack_from(f"{order}I", flags.data)
    size = struct.unpack(f"{order}{len(dims.data) // 4}i", dims.data)
    return _Array(kind & 0xFF, size, name.data.decode("ascii", "replace"), rest)


def _field(array: _Array, field: str, order: str) -> _Element:
    """Return the element of a field of a 1x1 struct; names have a fixed length, padded by 0."""
    (length,) = struct.unpack_from(f"{order}i", array.rest[0].data)
    if length <= 0 or array.dims != (1, 1):
        raise ValueError("no struct of one")
    text = array.rest[1].data
    names = [text[at : at + length].rstrip(b"\0").decode() for at in range(0, len(text), length)]
    return dict(zip(names, array.rest[2:], strict=True))[field]


def _pixels(array: _Array, order: str) -> NDArray[np.uint8]:
    values = np.frombuffer(array.rest[0].data, f"{order}{_DTYPES[array.rest[0].kind]}")
    if len(array.dims) != 2 or min(array.dims) < 1 or values.size != np.prod(array.dims):
        raise ValueError("no picture of classes")
    if not np.array_equal(values, values.astype(np.uint8)):
        raise ValueError("classes are not integers from 0 to 255")
    return values.astype(np.uint8).reshape(array.dims, order="F")
