"""Refuse to run with another distribution's `export`, `quantize` or `validate` package.

Imports none of them: its message must appear when they are not ours.
"""

import importlib.util
from pathlib import Path


def foreign_package() -> str | None:
    """Return one line about a package that does not lie beside `segport`, or None."""
    home = Path(__file__).resolve().parent.parent
    for name in ("export", "quantize", "validate"):
        spec = importlib.util.find_spec(name)
        location = Path(spec.origin).resolve() if spec and spec.origin else None
        if location is None or location.parent.parent != home:
            return (
                f"the package '{name}' is {location or 'missing'}, not segport's; run segport in "
                "an environment of its own"
            )
    return None
