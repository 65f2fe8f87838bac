"""Signatures: by a key that the test makes, without a network."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import segport
from segport.packaging.inside.verify import checksums, digest, files_in
from tests.segport.command import segport as command
from tests.segport.packaging.conftest import Made


def _keys(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    public.write_bytes(
        key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


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


def test_what_is_not_signed_and_what_is_no_key_are_said(
    made: Made, signed: tuple[Path, Path], folder: Path
) -> None:
    package, public = signed
    unsigned = command("verify", made.package, "--key", public)
    assert unsigned.code == 2 and "not signed" in unsigned.err
    (folder / "no.pem").write_text("no key")
    for arguments in (
        ["package", made.artifacts["int8"], "--samples", made.pictures, "--sign"],
        ["verify", package, "--key"],
    ):
        out = ["-o", folder / "out"] if arguments[0] == "package" else []
        for key in ("no.pem", "absent.pem"):
            refused = command(*arguments, folder / key, *out)
            assert refused.code == 2 and len(refused.errors) == 1 and key in refused.errors[0]
    assert not (folder / "out").exists()


def test_without_the_library_one_line_says_what_to_install(
    made: Made, signed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    refused = command("verify", signed[0], "--key", signed[1])
    assert refused.code == 2 and "pip install 'segport[sign]'" in refused.err
