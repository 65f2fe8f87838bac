"""Signatures in OpenSSF's format, by a key and without a network: the library model-signing.

A signature covers every file but itself and SHA256SUMS, which lists the signature, too.
"""

from pathlib import Path
from typing import Any

from export.common.errors import ArtifactError, UsageError, first_line
from segport.packaging.inside.verify import SUMS

SIGNATURE = "model.sig"


def sign(folder: Path, key: Path) -> None:
    """Write the signature of a folder by an elliptic private key in PEM (P-256, 384 or 521).

    Raises UsageError where model-signing is not installed, or the key is none.
    """
    signing = _library().signing
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key)
        config.set_hashing_config(_hashing()).sign(folder, folder / SIGNATURE)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{key}: cannot sign with it ({first_line(error)})") from error


def check(folder: Path, key: Path) -> None:
    """Raise ArtifactError unless a folder's signature is of its files and by `key`, a public one.

    UsageError where model-signing is not installed, or the key is none.
    """
    verifying = _library().verifying
    if not (folder / SIGNATURE).is_file():
        raise ArtifactError(f"not signed: there is no {SIGNATURE}")
    try:
        config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{key}: no public key ({first_line(error)})") from error
    try:
        config.set_hashing_config(_hashing()).verify(folder, folder / SIGNATURE)
    except Exception as error:  # the library raises whatever damaged bytes provoke
        raise ArtifactError(f"{SIGNATURE} is not by {key} ({first_line(error)})") from error


def _hashing() -> Any:
    return (
        _library()
        .hashing.Config()
        .set_ignored_paths(paths=[SIGNATURE, SUMS], ignore_git_paths=False)
    )


def _library() -> Any:
    try:
        import model_signing
    except ImportError as error:
        raise UsageError("signatures need model-signing; pip install 'segport[sign]'") from error
    return model_signing
