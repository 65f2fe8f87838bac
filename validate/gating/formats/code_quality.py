"""Verdicts as GitLab's code quality report, which merge requests show.

https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

import json
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256

from export.common.escaping import visible
from validate.gating.judged import Judged
from validate.gating.overall import needs_attention
from validate.gating.verdict import Outcome

_SEVERITIES = {Outcome.FAIL: "critical", Outcome.UNKNOWN: "major", Outcome.WARN: "info"}


def code_quality(judged: Sequence[Judged]) -> str:
    """Return a JSON array with one entry per verdict that is more than a plain pass.

    A fingerprint stands for network, protocol, artifact and check, whatever the figures, so that
    GitLab can tell what is new and what was resolved; where two results share those, they are
    numbered in their order.
    """
    seen = Counter[tuple[str, ...]]()
    entries = []
    for gated in judged:
        for verdict in filter(needs_attention, gated.verdicts):
            key = (gated.result.name, gated.result.protocol, verdict.id, verdict.check)
            seen[key] += 1
            named = json.dumps([*key, seen[key]])
            entries.append(
                {
                    "description": visible(" ".join([*key[:3]]) + f": {verdict.reason}"),
                    "check_name": visible(f"segport {verdict.check}"),
                    "fingerprint": sha256(named.encode()).hexdigest(),
                    "severity": _SEVERITIES.get(verdict.outcome, "minor"),
                    "location": {
                        "path": visible(gated.file.as_posix()),
                        "lines": {"begin": 1},
                    },
                }
            )
    return json.dumps(entries, indent=1) + "\n"
