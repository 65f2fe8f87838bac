"""What a report needs to know of a gate's verdict."""

from typing import Protocol


class Judgement(Protocol):
    """One line of the gate; `outcome` is "pass", "fail", "cannot tell" or "warn".

    Where it also has `inconclusive`, that says whether an interval straddled the limit.
    """

    @property
    def id(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def reason(self) -> str: ...
