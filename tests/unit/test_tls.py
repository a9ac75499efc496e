"""Certificates that a server makes for itself, for a network where nobody can issue any."""

import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from heldout.market.artifacts.tls import LIFETIME, RENEWED_BEFORE, fingerprint, given, self_signed
from heldout.market.errors import BadInput

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def names_of(cert: Path) -> set[str]:
    held = x509.load_pem_x509_certificate(cert.read_bytes())
    return {str(name.value) for name in held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value}


def test_it_is_for_the_servers_names_and_loopback_and_its_key_is_private(tmp_path: Path) -> None:
    """Threat 83."""
    files = self_signed(tmp_path / "tls", ["192.168.1.5", "market.local"], NOW)
    assert names_of(files.cert) == {"192.168.1.5", "market.local", "localhost", "127.0.0.1", "::1"}
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(files.cert, files.key)
    assert len(fingerprint(files.cert).split(":")) == 32


def test_it_stays_until_it_is_about_to_expire_or_the_name_changes(tmp_path: Path) -> None:
    first = fingerprint(self_signed(tmp_path, ["a.local"], NOW).cert)
    assert fingerprint(self_signed(tmp_path, ["a.local"], NOW + LIFETIME / 2).cert) == first
    renewed = fingerprint(self_signed(tmp_path, ["a.local"], NOW + LIFETIME - RENEWED_BEFORE).cert)
    assert renewed != first
    files = self_signed(tmp_path, ["b.local"], NOW + LIFETIME - RENEWED_BEFORE)
    assert fingerprint(files.cert) != renewed and "b.local" in names_of(files.cert)


def test_a_torn_certificate_is_made_again(tmp_path: Path) -> None:
    files = self_signed(tmp_path, [], NOW)
    files.cert.write_bytes(files.cert.read_bytes()[:100])
    assert names_of(self_signed(tmp_path, [], NOW).cert)


def test_a_certificate_that_does_not_fit_its_key_is_refused_at_start(tmp_path: Path) -> None:
    one, other = (self_signed(tmp_path / name, [], NOW) for name in "ab")
    assert given(one.cert, one.key) == one
    for cert, key in ((one.cert, other.key), (tmp_path / "none", one.key), (one.key, one.key)):
        with pytest.raises(BadInput) as refused:
            given(cert, key)
        assert refused.value.code == "bad_certificate"
