"""Signatures in OpenSSF's format, by a key and without a network: the library model-signing.

A signature covers every file but itself and SHA256SUMS, which lists the signature, too.
"""

from pathlib import Path
from typing import Any

from export.common.errors import ArtifactError, UsageError, first_line
from export.common.escaping import visible
from segport.packaging.inside.verify import SUMS

SIGNATURE = "model.sig"
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


def sign(folder: Path, key: Path, certificates: Path | None = None) -> None:
    """Write the signature of a folder by an elliptic private key in PEM (P-256, 384 or 521).

    `certificates`, in PEM, go into it: the key's own first, then those that vouch for it up to
    the root. Raises UsageError where model-signing is not installed, the key is none, or the
    first certificate is of another key.
    """
    config = _library().signing.Config()
    try:
        if certificates is None:
            config.use_elliptic_key_signer(private_key=key)
        else:
            config.use_certificate_signer(
                private_key=key,
                signing_certificate=certificates,
                certificate_chain=[certificates],
            )
        config.set_hashing_config(_hashing()).sign(folder, folder / SIGNATURE)
    except (OSError, ValueError, TypeError) as error:
        pair = key if certificates is None else f"{key} with {certificates}"
        raise UsageError(f"{pair}: cannot sign with it ({first_line(error)})") from error


def check(folder: Path, key: Path) -> str:
    """Return by whom a folder's files are signed: `key`, a public one in PEM, or somebody with a
    certificate from one that `key` holds.

    Raises ArtifactError where they are not, UsageError where model-signing is not installed, or
    the file holds neither. A certificate has to be valid on its first day only: what was signed
    does not end with it.
    """
    if not (folder / SIGNATURE).is_file():
        raise ArtifactError(f"not signed: there is no {SIGNATURE}")
    config = _library().verifying.Config().set_hashing_config(_hashing())
    try:
        certified = _CERTIFICATE in key.read_bytes()
        if certified:
            config.use_certificate_verifier(certificate_chain=[key])
        else:
            config.use_elliptic_key_verifier(public_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{key}: no public key or certificate ({first_line(error)})") from error
    try:
        config.verify(folder, folder / SIGNATURE)
        return f"{_signer(folder)}, certified by {key}" if certified else str(key)
    except Exception as error:  # the library raises whatever damaged bytes provoke
        raise ArtifactError(f"{SIGNATURE} is not by {key} ({first_line(error)})") from error


def _signer(folder: Path) -> str:
    """Return the subject of the certificate that a signature was checked with."""
    from cryptography.x509 import load_der_x509_certificate
    from sigstore_models.bundle.v1 import Bundle

    bundle = Bundle.from_json((folder / SIGNATURE).read_bytes())
    chain = bundle.verification_material.x509_certificate_chain
    certificate = load_der_x509_certificate(chain.certificates[0].raw_bytes)
    return visible(certificate.subject.rfc4514_string())


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
