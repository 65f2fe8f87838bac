"""The verdict as a badge: JSON for https://shields.io/badges/endpoint-badge."""

import json
from collections.abc import Sequence

from export.common.escaping import shortened, visible
from validate.gating.judged import Judged
from validate.gating.overall import WORDS, overall_code
from validate.result.cells import number
from validate.result.result import ArtifactResult

_COLOURS = {0: "brightgreen", 1: "red", 2: "lightgrey"}
_NAME = 40
"""Characters of a name; a badge is one short line."""


def badge(judged: Sequence[Judged]) -> str:
    """Return the endpoint's JSON; its message is the verdict and the largest drop of all.

    Of artifacts that were judged, such as "pass, int8 drop 0.16"; without labels the lowest
    agreement with the reference. With several results the network is named, too.
    """
    code = overall_code(judged)
    said = [WORDS[code], *_worst(judged)]
    document = {
        "schemaVersion": 1,
        "label": "segport",
        "message": ", ".join(said),
        "color": _COLOURS[code],
    }
    return json.dumps(document, indent=1) + "\n"


def _worst(judged: Sequence[Judged]) -> list[str]:
    artifacts = [
        (gated.result.name, artifact) for gated in judged for artifact in _artifacts(gated)
    ]
    if not artifacts:
        return []
    name, artifact = max(artifacts, key=lambda pair: _badness(pair[1]))
    names = [name, artifact.id] if len(judged) > 1 else [artifact.id]
    who = " ".join(shortened(visible(text), _NAME) for text in names)
    if artifact.drop is None:
        return [f"{who} agrees on {number(artifact.agreement, 2)} %"]
    return [f"{who} drop {number(artifact.drop, 2)}"]


def _artifacts(one: Judged) -> list[ArtifactResult]:
    named = {verdict.id for verdict in one.verdicts}
    return [a for a in one.result.artifacts if a.id in named and a.id != one.result.reference]


def _badness(artifact: ArtifactResult) -> tuple[bool, float]:
    if artifact.drop is None:
        return (False, -artifact.agreement)
    return (True, artifact.drop)
