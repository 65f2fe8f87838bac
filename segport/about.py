"""What a bug report needs to know: `segport --version`."""

import platform
from typing import Annotated

import typer

from export.common.errors import first_line
from export.common.versions import versions


def about() -> str:
    """Return versions, platform, CPU and runtimes, one subject per line."""
    return lines(facts())


def facts() -> dict[str, str]:
    """Return the same by subject; Segport's own version comes first."""
    about = versions()
    return {
        "segport": about.pop("segport", "(not installed)"),
        "python": f"{about.pop('python')}, {platform.platform()}",
        "packages": ", ".join(f"{name} {version}" for name, version in about.items()),
        **_machine(),
    }


def lines(about: dict[str, str]) -> str:
    """Return a line per subject, aligned but for Segport's own version."""
    own, *others = about
    width = max(map(len, others))
    return "\n".join([f"{own} {about[own]}", *(f"{key:{width}}  {about[key]}" for key in others)])


def _machine() -> dict[str, str]:
    try:
        from onnxruntime import get_available_providers

        from export.ort.providers import has_cuda
        from export.ort.sessions import cpu_facts
    except ImportError as error:  # the report may be about just this
        return {"onnxruntime": f"cannot be imported ({first_line(error)})"}
    cpu = cpu_facts()
    return {
        "cpu": ", ".join([cpu["cpu"], f"{cpu['threads']} threads", *cpu["isa"]]),
        "providers": ", ".join(get_available_providers()),
        "cuda device": "usable" if has_cuda() else "none usable",
    }


def _answer(context: typer.Context, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:  # that is: not while a shell completes the line
        print(about())
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_answer, is_eager=True, help="Show versions, CPU and runtimes."
    ),
]
