"""onnxruntime's own model package API, which has no Python binding yet: through its C library.

Indices are those of OrtApi and OrtModelPackageApi in onnxruntime_c_api.h of 1.31; both tables only
grow. `python -m tests.segport.packaging.model_package_api FOLDER` prints a package's variants.
"""

import json
import sys
from ctypes import (
    CDLL,
    CFUNCTYPE,
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_size_t,
    c_uint32,
    c_void_p,
)
from pathlib import Path

import onnxruntime

VERSION = 31
_GET_ERROR_MESSAGE, _GET_MODEL_PACKAGE_API = 2, 427
_CREATE_CONTEXT, _COMPONENT_NAMES, _VARIANT_NAMES, _EP_NAME = 2, 6, 8, 9
_Table = POINTER(c_void_p)


class _Base(Structure):
    _fields_ = (
        ("get_api", CFUNCTYPE(_Table, c_uint32)),
        ("get_version", CFUNCTYPE(c_char_p)),
    )


def library() -> Path | None:
    """onnxruntime's C library in its wheel, of a version that has the API; None elsewhere."""
    major, minor = map(int, onnxruntime.__version__.split(".")[:2])
    folder = Path(onnxruntime.__file__).parent / "capi"
    return (
        next(folder.glob("libonnxruntime.so.*"), None) if (major, minor) >= (1, VERSION) else None
    )


def variants(folder: Path) -> dict[str, str | None]:
    """Open a package; return its one component's variants and the provider of each."""
    file = library()
    assert file is not None
    c_library = CDLL(str(file))
    c_library.OrtGetApiBase.restype = POINTER(_Base)
    api = c_library.OrtGetApiBase().contents.get_api(VERSION)
    packages = CFUNCTYPE(_Table)(api[_GET_MODEL_PACKAGE_API])()

    def call(index: int, *arguments: object) -> None:
        status = CFUNCTYPE(c_void_p, *[c_void_p] * len(arguments))(packages[index])(*arguments)
        if status:
            message = CFUNCTYPE(c_char_p, c_void_p)(api[_GET_ERROR_MESSAGE])(status)
            raise ValueError(message.decode())

    context, names, count, provider = c_void_p(), POINTER(c_char_p)(), c_size_t(), c_char_p()
    call(_CREATE_CONTEXT, c_char_p(str(folder).encode()), byref(context))
    call(_COMPONENT_NAMES, context, byref(names), byref(count))
    (component,) = names[: count.value]
    call(_VARIANT_NAMES, context, c_char_p(component), byref(names), byref(count))
    found = {}
    for name in names[: count.value]:
        call(_EP_NAME, context, c_char_p(component), c_char_p(name), byref(provider))
        found[name.decode()] = provider.value.decode() if provider.value else None
    return found


if __name__ == "__main__":
    print(json.dumps(variants(Path(sys.argv[1]))))
