"""The guard that keeps unit tests off the network is itself tested."""

import asyncio
import socket

import pytest


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_a_unit_test_cannot_connect_anywhere(host: str) -> None:
    with socket.socket() as sock, pytest.raises(RuntimeError, match="this test may use none"):
        sock.connect((host, 9))


def test_a_unit_test_cannot_listen() -> None:
    with socket.socket() as sock, pytest.raises(RuntimeError, match="this test may use none"):
        sock.bind(("127.0.0.1", 0))


def test_an_event_loop_still_runs() -> None:
    async def one() -> int:
        await asyncio.sleep(0)
        return 1

    assert asyncio.run(one()) == 1
