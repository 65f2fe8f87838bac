"""Render a profile: profile.md, profile.json and roofline.svg."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from export.common.escaping import markdown
from export.common.files import write_texts
from validate.profiling.profile import Profile
from validate.profiling.profile_table import layer_table, operator_table, summary, title
from validate.profiling.roofline_plot import roofline_svg
from validate.result.cells import markdown_table

PLOT_FILE = "roofline.svg"


def write_profile(profile: Profile, folder: Path) -> list[Path]:
    """Write every format into `folder`, all or none; return the files."""
    return write_texts(folder, {name: render(profile) for name, render in PROFILE_FORMATS.items()})


def markdown_profile(profile: Profile) -> str:
    """Return profile.md: the summary, the roofline, all operators and all layers."""
    operators, layers = operator_table(profile), layer_table(profile, len(profile.layers))
    parts = [
        f"# Where the time of {markdown(profile.file)} goes",
        markdown(title(profile)) + ".",
        *(f"- {markdown(line)}" for line in summary(profile)),
        f"![Roofline]({PLOT_FILE})",
        "A layer lies below the roof that its operations set (horizontal, by the type of its "
        "kernel) or the bytes it moves (slanted, from the caches and from memory); its area is "
        "its time. The farther below, the more could be gained. *roof ms* is what the layer "
        "would take at its roof; layers without MACs are in the table alone.",
        "## Operators",
        markdown_table(operators[1], operators[0]),
        "## Layers",
        markdown_table(layers[1], layers[0]),
    ]
    return "\n\n".join(parts) + "\n"


def _json(profile: Profile) -> str:
    return json.dumps(asdict(profile), indent=1) + "\n"


PROFILE_FORMATS: dict[str, Callable[[Profile], str]] = {
    "profile.md": markdown_profile,
    "profile.json": _json,
    PLOT_FILE: roofline_svg,
}
