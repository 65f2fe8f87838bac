"""Numbers of bytes, images, parameters and operations in manifests and results."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=0, lt=2**63)]
"""JSON holds integers of any length; beyond int64 one is no count, and no float holds it."""
