"""Signatures in OpenSSF's format, by a key and without a network: the library model-signing.

A signature covers every file but itself and SHA256SUMS, which lists the signature, too.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from export.common.errors import ArtifactError, UsageError, first_line
from export.common.escaping import visible
from export.common.files import is_regular
from segport.packaging.inside.verify import SUMS

SIGNATURE = "model.sig"
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_CHAIN = b'"x509CertificateChain"'


def signer(key: Path, certificates: Path | None = None) -> Any:
    """Return what `sign` takes: an elliptic private key in PEM (P-256, 384 or 521), and its
    certificates: its own first, then those that vouch for it.

    Raises UsageError where model-signing is not installed, the key is none, or the first
    certificate is of another key or not for signatures.
    """
    config = _library().signing.Config().set_hashing_config(_hashing())
    pair = key if certificates is None else f"{key} with {certificates}"
    try:
        _refuse_irregular(key)
        if certificates is None:
            return config.use_elliptic_key_signer(private_key=key)
        _refuse_irregular(certificates)
        config.use_certificate_signer(
            private_key=key, signing_certificate=certificates, certificate_chain=[certificates]
        )
        _refuse_other_uses(certificates)
        return config
    except AttributeError as error:  # of an RSA key, which has no curve
        raise UsageError(f"{pair}: cannot sign with it (no elliptic key)") from error
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{pair}: cannot sign with it ({first_line(error)})") from error


def sign(folder: Path, signer: Any) -> None:
    """Write the signature of a folder."""
    signer.sign(folder, folder / SIGNATURE)


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
        _refuse_irregular(key)
        certified = _CERTIFICATE in key.read_bytes()
        if certified:
            config.use_certificate_verifier(certificate_chain=[key])
        else:
            config.use_elliptic_key_verifier(public_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{key}: no public key or certificate ({first_line(error)})") from error
    if certified != (_CHAIN in (folder / SIGNATURE).read_bytes()):
        wanted = "the public key" if certified else "the root of its certificate"
        raise ArtifactError(f"{SIGNATURE} is not by {key}: give {wanted} with --key")
    try:
        config.verify(folder, folder / SIGNATURE)
        return f"{_signer(folder)}, certified by {key}" if certified else str(key)
    except Exception as error:  # the library raises whatever damaged bytes provoke
        raise ArtifactError(f"{SIGNATURE} is not by {key} ({first_line(error)})") from error


def _refuse_irregular(file: Path) -> None:
    """Raise FileNotFoundError for what is no file: reading a pipe would wait for ever."""
    if not is_regular(file):
        raise FileNotFoundError(f"{file}: no such file, or not a regular one")


def _refuse_other_uses(certificates: Path) -> None:
    """Raise ValueError for a certificate that verification would not take for a signature."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    extensions = x509.load_pem_x509_certificate(certificates.read_bytes()).extensions
    with suppress(x509.ExtensionNotFound):
        if extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            return
    with suppress(x509.ExtensionNotFound):
        uses = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.CODE_SIGNING in uses:
            return
    raise ValueError("the certificate is not for signatures: no digitalSignature, no codeSigning")


def _signer(folder: Path) -> str:
    """Return the subject of the certificate that a signature was checked with."""
    from cryptography.x509 import load_der_x509_certificate
    from sigstore_models.bundle.v1 import Bundle

    bundle = Bundle.from_json((folder / SIGNATURE).read_bytes())
    chain = bundle.verification_material.x509_certificate_chain
    assert chain is not None, "checked with it"
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
