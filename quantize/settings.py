"""What a user may choose of quantization."""

from dataclasses import dataclass, replace

from export.ort.sessions import cpu_facts
from quantize.host import default_target
from quantize.int8.methods import chosen_methods
from quantize.targets import get_target


@dataclass(frozen=True)
class Settings:
    """What a user may choose.

    `target` None picks that of this machine's CPU, `range` None the target's own rule. `added`
    and `skipped` are names of `quantize.int8.methods`.
    """

    target: str | None = None
    range: str | None = None
    added: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    io: str = "fp32"
    guard: bool = True
    keep_float: tuple[str, ...] = ()

    def resolved(self) -> "Settings":
        """Fill in what was left to the machine and to the target. Raises UsageError."""
        target = self.target or default_target(cpu_facts())
        return replace(self, target=target, range=self.range or get_target(target).range)

    def methods(self) -> tuple[str, ...]:
        """Return the int8 methods that will be applied; of resolved settings."""
        return chosen_methods(get_target(self.target or ""), self.added, self.skipped)
