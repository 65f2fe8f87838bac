"""Which target fits a machine, and what of a target its onnxruntime can show."""

from collections.abc import Mapping
from typing import Any

from quantize.target import Target
from quantize.targets import ARM

_VNNI = ("avx512_vnni", "avx_vnni", "amx_int8")


def default_target(facts: Mapping[str, Any]) -> str:
    """Return the target's name for a machine, from what `export.ort.sessions.cpu_facts` says of
    it."""
    if facts["machine"].lower() in ARM:
        return "arm"
    return "cpu" if set(_VNNI) & set(facts["isa"]) else "cpu-avx2"


def explain_default(facts: Mapping[str, Any]) -> str:
    """Say in one line which target `default_target` picks and why."""
    chosen = default_target(facts)
    flags = [flag for flag in facts["isa"] if flag in _VNNI]
    reason = {
        "cpu": f"{facts['cpu']} has {', '.join(flags)}",
        "cpu-avx2": f"{facts['cpu']} has no VNNI, so weights get 7 bits",
        "arm": f"this machine is {facts['machine']}",
    }[chosen]
    return f"target {chosen}: {reason}"


def verifiable(target: Target, facts: Mapping[str, Any]) -> str | None:
    """Return why onnxruntime's CPU provider here cannot show that a file runs in int8.

    None when it can. `facts` are those of `export.ort.sessions.cpu_facts`.
    """
    if facts["machine"].lower() in target.machines:
        return None
    if target.machines:
        return f"made for {target.hardware}, this machine is {facts['machine']}"
    return f"made for {target.hardware}, which onnxruntime's CPU provider does not stand for"
