"""Signatures: by a key that the test makes, without a network."""

import datetime
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

import segport
from segport.packaging.inside.verify import checksums, digest, files_in
from tests.segport.command import segport as command
from tests.segport.packaging.conftest import Made


def _keys(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(_private(key))
    public.write_bytes(
        key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def _private(key: ec.EllipticCurvePrivateKey | RSAPrivateKey) -> bytes:
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    return key.private_bytes(pem, serialization.PrivateFormat.PKCS8, none)


def _certificates(folder: Path, name: str, days: int = 30) -> tuple[Path, Path]:
    """A chain of signer and issuer, and the root that vouches for the issuer.

    The signer's key is that of `_keys` in `folder`; it began `days` ago, valid for ten.
    """
    begun = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days)
    issuing, issuer, made = None, None, []
    for subject in ("root", "issuer", "signer"):
        private, _ = _keys(folder, f"{name}-{subject}")
        key = serialization.load_pem_private_key(private.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        full = x509.Name.from_rfc4514_string(f"CN={name} {subject}")
        last = subject == "signer"
        builder = (
            x509.CertificateBuilder(issuer or full, full, key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begun)
            .not_valid_after(begun + datetime.timedelta(10 if last else 3650))
            .add_extension(x509.BasicConstraints(ca=not last, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(last, False, False, False, False, not last, not last, False, False),
                critical=True,
            )
        )
        certificate = builder.sign(issuing or key, hashes.SHA256())
        made.append(certificate.public_bytes(serialization.Encoding.PEM))
        issuing, issuer = key, full
    root, chain = folder / f"{name}-root.crt", folder / f"{name}-chain.crt"
    root.write_bytes(made[0])
    chain.write_bytes(made[2] + made[1])
    return chain, root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signed")


@pytest.fixture(scope="module")
def signed(made: Made, folder: Path) -> tuple[Path, Path]:
    """A package that is signed, and the public key."""
    private, public = _keys(folder, "ours")
    out = folder / "package"
    segport.package(made.artifacts["int8"], out, samples=made.pictures, sign=private)
    return out, public


def test_a_signature_is_checked_by_its_key_and_by_no_other(
    signed: tuple[Path, Path], folder: Path
) -> None:
    package, public = signed
    answer = command("verify", package, "--key", public)
    assert answer.code == 0 and answer.out.startswith(f"signature: by {public}")
    _, others = _keys(folder, "others")
    refused = command("verify", package, "--key", others)
    assert refused.code == 2 and "is not by" in refused.err and len(refused.errors) == 1
    assert command("verify", package).out.startswith("signature: there, not checked")


def test_the_library_s_own_command_accepts_it(signed: tuple[Path, Path]) -> None:
    package, public = signed
    done = subprocess.run(
        [sys.executable, "-m", "model_signing", "verify", "key", package, "--signature",
         package / "model.sig", "--public_key", public],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_new_checksums_do_not_help_who_changes_a_file(
    signed: tuple[Path, Path], made: Made, folder: Path
) -> None:
    package, public = signed
    card = package / "model_card.md"
    text, sums = card.read_text(), (package / "SHA256SUMS").read_text()
    card.write_text(text.replace("## Limits", "## Guarantees"))
    (package / "SHA256SUMS").unlink()
    (package / "SHA256SUMS").write_text(
        checksums({path: digest(package / path) for path in files_in(package)})
    )
    try:
        assert command("verify", package).code == 0
        refused = command("verify", package, "--key", public)
        assert refused.code == 2 and "model.sig" in refused.err
    finally:
        card.write_text(text)
        (package / "SHA256SUMS").write_text(sums)


def test_who_knows_the_root_alone_is_told_the_signer(
    made: Made, signed: tuple[Path, Path], folder: Path, tmp_path: Path
) -> None:
    """The certificate ended twenty days ago; what it signed is not signed less for that."""
    chain, root = _certificates(tmp_path, "acme")
    _, foreign = _certificates(tmp_path, "other")
    arguments = ["package", made.artifacts["int8"], "--samples", made.pictures]
    key = tmp_path / "acme-signer.pem"
    done = command(
        *arguments, "--sign", key, "--certificates", chain, "-o", tmp_path / "package"
    )  # fmt: skip
    assert done.code == 0, done.err
    answer = command("verify", tmp_path / "package", "--key", root)
    assert answer.code == 0, answer.err
    assert answer.out.startswith(f"signature: by CN=acme signer, certified by {root}\n")
    for package, stranger, said in (
        (tmp_path / "package", foreign, "local issuer"),
        (tmp_path / "package", signed[1], "give the root of its certificate"),
        (signed[0], root, "give the public key"),
    ):
        refused = command("verify", package, "--key", stranger)
        assert refused.code == 2 and len(refused.errors) == 1 and said in refused.errors[0]
        assert "is not by" in refused.errors[0]
    others = ["--sign", tmp_path / "other-signer.pem"]
    rsa = tmp_path / "rsa.pem"
    rsa.write_bytes(_private(generate_private_key(65537, 2048)))
    issuer = tmp_path / "issuer.crt"
    issuer.write_bytes(b"-----BEGIN" + chain.read_bytes().split(b"-----BEGIN")[2])
    for more, certificates, said in (
        (others, chain, "does not match"),
        ([], chain, "say with --sign"),
        (["--sign", rsa], chain, "no elliptic key"),
        (["--sign", tmp_path / "acme-issuer.pem"], issuer, "is not for signatures"),
    ):
        refused = command(*arguments, *more, "--certificates", certificates, "-o", tmp_path / "no")
        assert refused.code == 2 and len(refused.errors) == 1 and said in refused.errors[0]
    assert not (tmp_path / "no").exists()


def test_what_is_not_signed_and_what_is_no_key_are_said(
    made: Made, signed: tuple[Path, Path], folder: Path
) -> None:
    package, public = signed
    unsigned = command("verify", made.package, "--key", public)
    assert unsigned.code == 2 and "not signed" in unsigned.err
    (folder / "no.pem").write_text("no key")
    os.mkfifo(folder / "pipe.pem")
    for arguments in (
        ["package", made.artifacts["int8"], "--samples", made.pictures, "--sign"],
        ["verify", package, "--key"],
    ):
        out = ["-o", folder / "out"] if arguments[0] == "package" else []
        for key in ("no.pem", "absent.pem", "pipe.pem"):
            refused = command(*arguments, folder / key, *out)
            assert refused.code == 2 and len(refused.errors) == 1 and key in refused.errors[0]
    assert not (folder / "out").exists()


def test_without_the_library_one_line_says_what_to_install(
    made: Made, signed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    refused = command("verify", signed[0], "--key", signed[1])
    assert refused.code == 2 and "pip install 'segport[sign]'" in refused.err
