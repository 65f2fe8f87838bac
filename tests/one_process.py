"""What a command starts processes for, done in the tests' own, which has loaded torch already.

The processes are there for crashes, hangs and memory. Tests of them are marked `processes`; what is
started as a user starts it (documentation, faults, `make demo` in CI) has them too.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import pytest

from export.common.child import ChildLimits, call_within
from export.common.tables import Lazy
from export.simplify import _onnxsim as onnxsim_in_child
from segport.source import in_child
from validate.speed.latency import ROUNDS


def _onnxsim(source: Path, target: Path) -> int:
    import onnxsim  # takes most of a second

    try:
        model, _ = onnxsim.simplify(onnx.load(source))
    except Exception:  # the child's would be exit code 1
        return 1
    onnx.save(model, target)
    return 0


def _call_within(limits: ChildLimits, function: str, *arguments: Any) -> Any:
    return Lazy(function)(*arguments)


@contextmanager
def _in_child(
    scratch: Path, function: str, *arguments: Any, **named: Any
) -> Iterator[Callable[[], Any]]:
    yield lambda: Lazy(function)(*arguments, **named)


REPLACED: dict[str, tuple[object, object]] = {
    "export.simplify._onnxsim": (onnxsim_in_child, _onnxsim),
    "export.foreign.probing.call_within": (call_within, _call_within),
    "segport.source.in_child": (in_child, _in_child),
    "validate.speed.latency.ROUNDS": (ROUNDS, 3),
}
"""What it is, and what it is in tests."""


@contextmanager
def patched(in_tests: bool) -> Iterator[None]:
    """Inside, all that is `REPLACED`, or nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for name, values in REPLACED.items():
            patch.setattr(name, values[in_tests])
        yield
