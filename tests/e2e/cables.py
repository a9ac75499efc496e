"""A party on a machine of its own, as far as the network goes: each of its cables can be cut alone (threat 57).

The party runs in a network namespace that has nothing but its own loopback. There, at the addresses of the network
file, listen sockets of this process; what comes in is carried to the real servers, byte for byte, while the cable is
whole. A cut cable drops what it is given and refuses nothing, as a partition does: whoever is cut off hears silence.
"""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.e2e.town import Town

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET, unshare(2)
_SET_FLAGS, _UP_AND_RUNNING = 0x8914, 0x41  # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING, netdevice(7)


class Cable:
    """From a socket that listens to the server with the same address here."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening, self._address = listening, listening.getsockname()
        self._whole = threading.Event()
        self._whole.set()
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def cut(self) -> Iterator[None]:
        self._whole.clear()
        try:
            yield
        finally:
            self._whole.set()

    def close(self) -> None:
        self._whole.set()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listening.accept()[0]
            except OSError:
                return  # closed
            try:
                far = socket.create_connection(self._address)
            except OSError:
                near.close()
                continue
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self._whole.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Room:
    """A network namespace with listening sockets at `addresses` (host:port of the loopback). Needs root."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self._made, self._over = threading.Event(), threading.Event()
        self._addresses = addresses
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        self._made.wait()
        self.cables = {name: Cable(listening) for name, listening in self._listening.items()}

    @property
    def enter(self) -> list[str]:
        """What stands before a command that is to run in here."""
        return ["nsenter", f"--net=/proc/{os.getpid()}/task/{self._thread.native_id}/ns/net"]

    def close(self) -> None:
        for cable in self.cables.values():
            cable.close()
        self._over.set()
        self._thread.join()

    def _live(self) -> None:
        """One thread of this process moves; the sockets it makes are usable by all."""
        self._listening: dict[str, socket.socket] = {}
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(_NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "no network namespace")
            with socket.socket() as any_:
                fcntl.ioctl(any_, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))
            for name, address in self._addresses.items():
                host, _, port = address.rpartition(":")
                self._listening[name] = socket.create_server((host, int(port)), backlog=64)
        finally:
            self._made.set()
        self._over.wait()


@contextmanager
def behind_cables(town: Town, name: str) -> Iterator[dict[str, Cable]]:
    """A party of the town moves into a room of its own, and back. Its cables: `chain`, `store`, `service`."""
    network = town.devnet.network
    urls = {"chain": network.rpc[0], "store": network.stores[0], "service": network.service or ""}
    room = Room({name: urlsplit(url).netloc for name, url in urls.items()})
    town.devnet.processes.stop(name)
    town.start(name, before=room.enter)
    try:
        yield room.cables
    finally:
        town.devnet.processes.stop(name)
        room.close()
        town.start(name)
