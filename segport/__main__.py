"""Entry point of `segport` and `python -m segport`."""

import sys

from segport.strangers import stranger


def main() -> None:
    """Run the command line, unless a package it needs is somebody else's."""
    if problem := stranger():
        sys.exit(_refuse(problem))
    from export.ending import end
    from segport.cli import main as command_line

    try:
        command_line()
    except SystemExit as ended:
        end(int(ended.code or 0))


def _refuse(problem: str) -> int:
    print(f"segport: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
