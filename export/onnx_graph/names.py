"""Names that nothing has yet."""


def free_name(wanted: str, taken: set[str]) -> str:
    """Return `wanted`, lengthened until it is not in `taken`, and add it there."""
    name = wanted
    while name in taken:
        name += "_"
    taken.add(name)
    return name
