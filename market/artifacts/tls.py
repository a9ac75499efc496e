"""Certificates of a server: given ones, or one that it makes for itself, for a network where nobody can issue any.

A self-signed certificate says nothing about who serves; whoever opens the page compares the fingerprint printed at
start with what the browser shows, once. It is made again when it is about to expire or the server goes by another name.
"""

import ipaddress
import os
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from heldout.market.errors import BadInput

if TYPE_CHECKING:
    from cryptography import x509

LIFETIME: Final = timedelta(days=397)
"""The most that browsers accept of a certificate."""
RENEWED_BEFORE: Final = timedelta(days=14)
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class TlsFiles(NamedTuple):
    """PEM files, as the server's library wants them."""

    cert: Path
    key: Path


def given(cert: Path, key: Path) -> TlsFiles:
    """Files named by the operator. Raises BadInput if they cannot be read or do not fit each other."""
    import ssl

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as problem:
        hint = "give a PEM certificate with its chain, and the key that belongs to it"
        raise BadInput(f"the certificate cannot be used: {problem}", hint=hint, code="bad_certificate") from None
    return TlsFiles(cert, key)


def self_signed(folder: Path, names: Collection[str], now: datetime | None = None) -> TlsFiles:
    """A certificate for `names` and loopback, kept in `folder`; the key is made with mode 0600."""
    now = now or datetime.now(UTC)
    files = TlsFiles(folder / "cert.pem", folder / "key.pem")
    wanted = sorted({*names, *LOOPBACK})
    if not _serves(files, wanted, now):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make(files, wanted, now)
    return files


def fingerprint(cert: Path) -> str:
    """SHA-256 of the certificate, as browsers show it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    digest = x509.load_pem_x509_certificate(cert.read_bytes()).fingerprint(hashes.SHA256())
    return ":".join(f"{byte:02X}" for byte in digest)


def _serves(files: TlsFiles, wanted: Collection[str], now: datetime) -> bool:
    from cryptography import x509

    if not (files.cert.exists() and files.key.exists()):
        return False
    try:
        held = x509.load_pem_x509_certificate(files.cert.read_bytes())
        names = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    known = {str(name.value) for name in names}
    return known >= set(wanted) and held.not_valid_after_utc - now > RENEWED_BEFORE


def _make(files: TlsFiles, names: Collection[str], now: datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Heldout, signed by itself")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME - timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    _write_private(files.key, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    files.cert.write_bytes(certificate.public_bytes(pem))


def _name(name: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_private(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)
