"""Refuse a memory limit that numpy cannot be loaded under: its BLAS ends the process with 1."""

_LEAST = 512 << 20
"""Bytes of addresses; the libraries alone take most of that."""


def too_little_memory() -> str | None:
    """Return one line about a limit of addresses (`ulimit -v`) that is too small, or None."""
    try:
        import resource
    except ImportError:  # no such limits
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or limit >= _LEAST:
        return None
    return (
        f"memory is limited to {limit >> 20} MB of addresses (ulimit -v), {_LEAST >> 20} are needed"
    )
