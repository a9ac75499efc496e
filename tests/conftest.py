"""The network guard, for every test: unit tests open no socket, all others talk to loopback only. And the job image.

An audit hook sees each connect, bind and name look-up of this process, whatever library makes it.
"""

from __future__ import annotations

import ipaddress
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent
_SOCKETLESS = (_TESTS / "unit", _TESTS / "stateful")
_allowed = "loopback"


class NetworkTouched(RuntimeError):
    """A test reached for a network it has no business with."""


def _is_loopback(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def _guard(event: str, args: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.bind", "socket.sendto"):
        address = args[1]
        if not isinstance(address, tuple):  # a path: AF_UNIX
            return
        host = address[0]
    elif event == "socket.getaddrinfo":
        host = args[0]
    else:
        return
    if _allowed == "none" or not _is_loopback(host):
        raise NetworkTouched(f"{event} to {host!r}; this test may use {_allowed}")


sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def network_guard(request: pytest.FixtureRequest) -> Iterator[None]:
    """No sockets in tests/unit and tests/stateful, loopback in the others."""
    global _allowed
    _allowed = "none" if any(request.path.is_relative_to(folder) for folder in _SOCKETLESS) else "loopback"
    yield
    _allowed = "loopback"


_ROOT = _TESTS.parent
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@pytest.fixture(scope="session")
def job_image() -> str:
    """Id of the job image that `./run` built. Without an engine the test is skipped, unless `./run` promised one."""
    listed = _ROOT / ".cache" / "job-image.json"
    images = json.loads(listed.read_text()) if listed.exists() else {}
    image = images.get(_ARCHITECTURES.get(platform.machine(), ""), "")
    if image and _engine_has(image):
        return str(image)
    message = "no container engine with the job image; ./run test sets both up"
    if os.environ.get("HELDOUT_REQUIRE_DOCKER"):
        pytest.fail(message)
    pytest.skip(message)


def _engine_has(image: str) -> bool:
    try:
        return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
