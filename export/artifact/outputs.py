"""The tables of outputs: which of them an export writes, and what third-party ones mean."""

from dataclasses import dataclass
from typing import Literal

OutputName = Literal["logits", "mask"]


@dataclass(frozen=True)
class OutputChoice:
    """`names` of the outputs of an exported file."""

    help: str
    names: tuple[OutputName, ...]


OUTPUTS = {
    "logits": OutputChoice("a score per class", ("logits",)),
    "mask": OutputChoice("the class of every pixel", ("mask",)),
    "both": OutputChoice("scores and classes", ("logits", "mask")),
}


@dataclass(frozen=True)
class OutputKind:
    """What an output of a network holds, and which output of an artifact it `becomes`.

    A `binary` one has one channel, which decides between background and a class.
    """

    help: str
    becomes: OutputName = "logits"
    binary: bool = False


OUTPUT_KINDS = {
    "logits": OutputKind("a score per class"),
    "probabilities": OutputKind("behind a softmax"),
    "binary-logit": OutputKind("one channel before a sigmoid", binary=True),
    "binary-probability": OutputKind("one channel behind a sigmoid", binary=True),
    "mask": OutputKind("class indices", becomes="mask"),
    "binary-mask": OutputKind("0, and any other value where the class is", becomes="mask"),
}
BINARY_KINDS = {name: kind for name, kind in OUTPUT_KINDS.items() if kind.binary}
