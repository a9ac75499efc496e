"""Integration tests reach loopback and nothing else."""

import socket

import pytest


def test_loopback_is_open_and_the_rest_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    with socket.socket() as sock, pytest.raises(RuntimeError, match="may use loopback"):
        sock.connect(("192.0.2.1", 9))
