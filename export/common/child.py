"""Do one call in a process of its own: whatever it loads and leaks is gone afterwards."""

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from export.common.ending import end
from export.common.errors import ExportError
from export.common.files import scratch_folder
from export.common.quiet import quiet_libraries

_CALL = "call.pickle"
_OUTCOME = "outcome.pickle"
_CANNOT_WRITE = 74
"""Exit code of a child that cannot hand over its result; EX_IOERR of sysexits.h."""


class EndedEarlyError(ExportError):
    """A child that died, or was ended at a limit, before it had a result; the message says why."""


@dataclass(frozen=True)
class ChildLimits:
    """What a call may take: seconds from its start, and bytes that it may write to."""

    seconds: float
    memory: int


def call_within(limits: ChildLimits, function: str, *arguments: Any) -> Any:
    """Call `package.module:function` in a process that ends when it takes more than `limits`.

    For untrusted files: native code that crashes, hangs or asks for all memory ends there.
    Raises what the call raises, and EndedEarlyError.
    """
    with scratch_folder() as scratch:
        with (
            _started(scratch, function, arguments, {}, limits.memory) as child,
            suppress(subprocess.TimeoutExpired),
        ):
            child.wait(limits.seconds)
            return _result(child, scratch)
        raise EndedEarlyError(f"it takes longer than {limits.seconds:g} s")


@contextmanager
def in_child(
    scratch: Path, function: str, *arguments: Any, **named: Any
) -> Iterator[Callable[[], Any]]:
    """Call `package.module:function` in a fresh interpreter, which works while the block does.

    Gives a function that waits for the result. It raises what the call raised, with the child's
    traceback as a note, and ExportError where the child died. The child is killed when the block
    is left early. `scratch` is a folder of the caller, also for all temporary files of the child,
    so that nothing stays when it is killed.
    """
    with _started(scratch, function, arguments, named) as child:
        yield lambda: _result(child, scratch)


@contextmanager
def _started(
    scratch: Path,
    function: str,
    arguments: tuple[Any, ...],
    named: dict[str, Any],
    memory: int | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    try:
        with (scratch / _CALL).open("wb") as file:
            pickle.dump((function, arguments, named, memory), file)
    except OSError as error:
        raise _no_room(scratch, error.strerror or str(error)) from error
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109
    child = subprocess.Popen(
        # -P: a folder that happens to be called export where the user stands is not ours
        [sys.executable, "-P", "-m", "export.common.child", str(scratch)],
        stdin=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths, "TMPDIR": str(scratch)},
        start_new_session=True,  # Ctrl-C is the parent's; and to kill what the child starts
    )
    try:
        yield child
    finally:
        _kill(child)


def _result(child: "subprocess.Popen[bytes]", scratch: Path) -> Any:
    code = child.wait()
    try:
        with (scratch / _OUTCOME).open("rb") as file:
            value, error = pickle.load(file)
    except (OSError, EOFError, pickle.UnpicklingError):
        if code == _CANNOT_WRITE:
            raise _no_room(scratch, "no space left, or the folder is gone") from None
        reason = f"killed by signal {-code}; perhaps memory ran out" if code < 0 else f"code {code}"
        raise EndedEarlyError(f"the process that exports ended early ({reason})") from None
    if error is not None:
        raise error
    return value


def _no_room(scratch: Path, reason: str) -> ExportError:
    return ExportError(
        f"cannot write temporary files to {scratch.parent}: {reason}; TMPDIR chooses another folder"
    )


def _kill(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
        child.wait()
    assert child.stdin is not None
    child.stdin.close()


def _main(scratch: Path) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    quiet_libraries()
    gc.disable()  # what is made here is gone soon anyway; looking for it takes a tenth of the time
    value, error = None, None
    try:
        with (scratch / _CALL).open("rb") as file:
            function, arguments, named, memory = pickle.load(file)
        if memory is not None:
            _limit_memory(memory)
        module, _, name = function.partition(":")
        value = getattr(import_module(module), name)(*arguments, **named)
    except Exception as raised:
        error = _portable(raised)
    partial = scratch / f"{_OUTCOME}.partial"
    try:
        with partial.open("wb") as file:
            pickle.dump((value, error), file)
        partial.replace(scratch / _OUTCOME)
    except OSError:
        end(_CANNOT_WRITE)
    end(0)


def _limit_memory(size: int) -> None:
    """Let this process have `size` bytes at most; systems that cannot are left as they are."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        # not the address space, of which every thread of a large machine reserves a lot
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _portable(error: Exception) -> Exception:
    """Return `error`, or what can be pickled instead, with a note where it came from."""
    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever a foreign class makes of it
        return RuntimeError(text)
    error.add_note(f"in a process of its own:\n{text}")
    return error


def _end_with_parent() -> None:
    """End when the parent is gone, which closes its side of this pipe."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
