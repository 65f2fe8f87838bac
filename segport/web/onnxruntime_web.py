"""onnxruntime-web, which the page runs networks with; it comes as a distribution of its own."""

from importlib.resources import files
from importlib.resources.abc import Traversable

from export.common.errors import RuntimeUnavailableError

DISTRIBUTION = "segport_web"
"""Built from the npm package by `make web`; see `segport/web/distribution`."""
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"


def onnxruntime_web() -> dict[str, Traversable]:
    """Return its files by name. Raises RuntimeUnavailableError where it is not installed."""
    try:
        folder = files(DISTRIBUTION)
    except ModuleNotFoundError as error:
        raise RuntimeUnavailableError(
            "serve: onnxruntime-web is not installed; in a checkout 'make web' installs it, "
            "elsewhere 'pip install segport_web-*.whl', the file that 'make web' leaves in dist/"
        ) from error
    return {name: folder / name for name in (SCRIPT, WASM)}
