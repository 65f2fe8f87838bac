"""Make a package: gather, write, sign, list, and put it in place as a whole."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from export.artifact.artifact import Artifact
from export.common.errors import ArtifactError, UsageError
from export.common.files import check_writable, scratch_folder
from export.common.progress import Progress, silent
from export.common.tables import known
from segport.packaging.contents import contents
from segport.packaging.findings import read_findings
from segport.packaging.forms import FORMS, is_package
from segport.packaging.inside.verify import SUMS, checksums, digest, files_in
from segport.packaging.layouts import DEFAULT_LAYOUT, LAYOUTS, Contents
from segport.packaging.material import Material
from segport.packaging.samples import make_samples
from segport.packaging.signature import sign, signer
from segport.packaging.variants import variants_of
from validate.gating.verdict import Verdict


def package(
    artifacts: Sequence[Artifact],
    out: Path,
    *,
    samples: Path | None = None,
    layout: str = DEFAULT_LAYOUT,
    result: Path | None = None,
    verdicts: Sequence[Verdict] = (),
    licence: str | None = None,
    source: str | None = None,
    key: Path | None = None,
    certificates: Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Path:
    """Write a package of `artifacts` to `out`, a folder or FILE.zip; return `out`.

    `samples` is an image or a folder of them, None: scenes of the demo. `result` is one of the
    artifacts, None: one that lies beside them. `key` signs, with `certificates` of it. With
    `force` an earlier package at `out` is replaced. Raises UsageError for artifacts of several
    networks, DataError for samples and results that cannot be used, ArtifactError where `out` is
    taken or cannot be written.
    """
    if certificates is not None and key is None:
        raise UsageError("--certificates: say with --sign which key they are of")
    signing = signer(key, certificates) if key else None
    variants = variants_of(artifacts)
    chosen = known("layout", layout, LAYOUTS)
    zipped = out.suffix == ".zip"
    if zipped and chosen.form != "folder":
        raise UsageError(f"--layout {layout}: is a folder itself; give one with -o")
    _refuse_taken(out, force)
    check_writable(out.parent)
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out.parent) as scratch:
        findings = read_findings(result, variants, verdicts, scratch / "report")
        pictures = make_samples(variants, samples, out, progress)
        material = Material(variants, chosen, pictures, findings, licence, source)
        made = scratch / "package"
        _write(made, contents(material))
        if signing is not None:
            sign(made, signing)
        _list(made)
        form = "zip" if zipped else chosen.form
        if form in FORMS:
            FORMS[form].pack(made, scratch / form)
            made = scratch / form
        _put(made, out, scratch)
    return out


def _refuse_taken(out: Path, force: bool) -> None:
    empty = out.is_dir() and not any(out.iterdir())
    if not out.exists() or empty:
        return
    if not is_package(out):
        raise ArtifactError(f"{out}: holds something else than a package; choose another with -o")
    if not force:
        raise ArtifactError(f"{out}: a package is there already; --force replaces it")


def _write(folder: Path, files: Contents) -> None:
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            target.write_bytes(data)
        else:
            shutil.copyfile(data, target)


def _list(folder: Path) -> None:
    digests = {path: digest(folder / path) for path in files_in(folder)}
    (folder / SUMS).write_text(checksums(digests), encoding="utf-8")


def _put(made: Path, out: Path, scratch: Path) -> None:
    """Move a package to its place; an earlier one goes with the scratch folder, or comes back."""
    try:
        older = out.rename(scratch / "older") if out.exists() else None
        try:
            made.rename(out)
        except OSError:
            if older:
                older.rename(out)
            raise
    except OSError as error:
        raise ArtifactError(
            f"cannot write to {out}: {error.strerror}; choose another with -o"
        ) from error
