"""Entry point of `segport` and `python -m segport`."""

import sys

from segport import signals
from segport.foreign_packages import foreign_package
from segport.memory_limit import too_little_memory


def main() -> None:
    """Run the command line, unless it cannot work at all here."""
    with signals.exceptions():
        code = _code()
    signals.ignore()
    if "torch" in sys.modules:
        from export.common.ending import end

        end(code)
    sys.exit(code)


def _code() -> int:
    """Run the command line; a signal before it listens ends like one that it hears."""
    try:
        if problem := foreign_package() or too_little_memory():
            return _refuse(problem)
        from export.common.quiet import quiet_libraries
        from segport.cli import main as command_line

        quiet_libraries()
        command_line()
    except SystemExit as ended:
        return int(ended.code or 0)
    except KeyboardInterrupt:
        return _refuse("interrupted", 130)
    except signals.Terminated:
        return _refuse("terminated", 143)
    return 0


def _refuse(problem: str, code: int = 2) -> int:
    print(f"segport: {problem}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
