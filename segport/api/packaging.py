"""What is handed over: packages, made and verified."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segport.api.arguments import AnyPath, artifacts_of, optional_path, path_of
from segport.api.validating import Gate
from segport.packaging.layouts import DEFAULT_LAYOUT
from segport.progress import stages

if TYPE_CHECKING:
    from export.artifact.artifact import Artifact
    from segport.packaging.verification import Verification


def package(
    artifacts: "Sequence[Artifact | AnyPath] | Artifact | AnyPath",
    out: AnyPath,
    *,
    samples: AnyPath | None = None,
    result: AnyPath | None = None,
    gate: Gate | None = None,
    layout: str = DEFAULT_LAYOUT,
    licence: str | None = None,
    source: str | None = None,
    sign: AnyPath | None = None,
    certificates: AnyPath | None = None,
    force: bool = False,
    progress: bool = True,
) -> Path:
    """Put artifacts, how to run them, and how to verify them into one folder or zip file.

    Args:
        artifacts: Of one network; of those for one provider onnxruntime takes the first.
        out: A folder, or FILE.zip; the same artifacts give the same bytes, unless signed.
        samples: An image or a folder of them; three go along. Default: scenes of the demo.
        result: A result.json or its folder. Default: one of these files that lies beside them.
        gate: What the gate said of that result.
        layout: "hub", "triton", "ovms" or "oci".
        licence: Licence of the weights, as you state it.
        source: Where the weights are from, as you state it.
        sign: A private elliptic key (PEM); needs the extra `sign`.
        certificates: Of that key (PEM): its own first, then those of its issuers.
        force: Replace a package that is there.
        progress: Show progress on standard error.

    Returns:
        `out`.

    Raises:
        SegportError: UsageError for artifacts of several networks, DataError for samples and
            results that cannot be used, ArtifactError where something else is at `out`.
    """
    target = path_of(out, "out")
    with stages(shown=progress) as shown:
        step = shown.stage("package")
        from segport.packaging.packaging import package as make

        return make(
            artifacts_of(artifacts),
            target,
            samples=optional_path(samples, "samples"),
            result=optional_path(result, "result"),
            verdicts=gate.verdicts if gate else (),
            layout=layout,
            licence=licence,
            source=source,
            key=optional_path(sign, "sign"),
            certificates=optional_path(certificates, "certificates"),
            force=force,
            progress=step,
        )


def verify(
    package: AnyPath, *, key: AnyPath | None = None, progress: bool = True
) -> "Verification":
    """Check a package's files and signature, and compute its masks anew.

    Args:
        package: A folder or zip file that `package` wrote.
        key: A public key (PEM), or root certificates; the signature must be there and by it.
        progress: Show progress on standard error.

    Returns:
        What every variant gave; `passed`, `verdict`, `best`, `exit_code`.

    Raises:
        SegportError: ArtifactError for a package that is damaged or not signed by `key`.
    """
    source = path_of(package, "package")
    with stages(shown=progress) as shown:
        shown.stage("verify")
        from segport.packaging.verification import verify as check

        return check(source, optional_path(key, "key"))
