"""What says that a node cannot be written."""


class Unsupported(Exception):  # noqa: N818 - a finding that is collected, not the user's error
    """Why a node has no equal in LiteRT, in a few words."""
