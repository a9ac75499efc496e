"""A server behind a certificate that it made for itself: who trusts that one file gets in, everybody else does not."""

import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from heldout.devnet.anvil import free_port

pytestmark = pytest.mark.integration


def test_a_store_serves_https_with_its_own_certificate(tmp_path: Path) -> None:
    port, tls, log = free_port(), tmp_path / "tls", tmp_path / "log"
    words = ["store", "serve", "--dir", str(tmp_path / "store"), "--listen", f"127.0.0.1:{port}"]
    with log.open("wb") as file:
        command = [sys.executable, "-m", "heldout", *words, "--tls-self-signed", str(tls)]
        child = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        end = time.monotonic() + 30
        while "store of" not in log.read_text():
            assert time.monotonic() < end and child.poll() is None, log.read_text()
            time.sleep(0.1)
        url = f"https://127.0.0.1:{port}/healthz"
        context = ssl.create_default_context(cafile=str(tls / "cert.pem"))
        with httpx2.Client(verify=context, trust_env=False) as knowing:
            assert knowing.get(url).json() == {"status": "ok"}
        with httpx2.Client(trust_env=False) as stranger, pytest.raises(httpx2.ConnectError):
            stranger.get(url)
        assert f"https://127.0.0.1:{port}" in log.read_text() and "SHA-256" in log.read_text()
    finally:
        child.terminate()
        child.wait(10)
