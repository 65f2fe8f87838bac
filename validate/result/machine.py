"""What a result or baseline says of the machine, read without trust in its types."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Machine(NamedTuple):
    """Instruction sets, versions by package, and settings of the session by name."""

    isa: list[str]
    versions: Mapping[str, Any]
    settings: Mapping[str, Any]


def machine_of(environment: Mapping[str, Any]) -> Machine:
    """Return what a file says, and nothing where it says something else than it should."""
    isa = environment.get("isa")
    return Machine(
        list(map(str, isa)) if isinstance(isa, list) else [],
        _mapping(environment.get("versions")),
        _mapping(environment.get("session_settings")),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
