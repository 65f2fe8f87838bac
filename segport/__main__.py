"""Entry point of `segport` and `python -m segport`."""

import sys

from segport.strangers import stranger


def main() -> None:
    """Run the command line, unless a package it needs is somebody else's."""
    if problem := stranger():
        sys.exit(_refuse(problem))
    from segport.cli import main as command_line

    command_line()


def _refuse(problem: str) -> int:
    print(f"segport: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
