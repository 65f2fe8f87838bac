"""Whether a file that was just made is faster than fp32 on this machine."""

from export.artifact.artifact import Artifact, Sample
from segport.scoring import session_times


def speed_lines(fp32: Artifact, made: Artifact, image: Sample) -> list[str]:
    """Return the time of both and their ratio, in a line, and a warning where fp32 is faster.

    Measured in turns on `image`, prepared for `fp32`; nothing for an int8 file of another machine's
    kind. The manifest does not record it: the same command is to give the same bytes.
    """
    facts = made.manifest.checks.get("int8")
    if facts is None or facts["int8_unverified"]:
        return []
    reference, time = session_times(fp32, image.image, [fp32.path, made.path])
    lines = [f"int8 takes {time:.1f} ms here, fp32 {reference:.1f} ({time / reference:.2f} of it)"]
    if time > reference:
        lines.append(
            "warning: int8 is slower than fp32 here; see where with "
            f"'segport profile {made.path}', or use --precision fp16 on a GPU"
        )
    return lines
