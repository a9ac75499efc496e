"""Looks for a way out. All it ever calls is the listener whose address it was given."""

import functools
import os
import socket

from hostile import refused, say, told, tried

host, _, port = told("TARGET").rpartition(":")
KINDS = {
    "inet6": (socket.AF_INET6, socket.SOCK_STREAM),
    "packet": (socket.AF_PACKET, socket.SOCK_RAW),
    "netlink": (socket.AF_NETLINK, socket.SOCK_RAW),
    "alg": (socket.AF_ALG, socket.SOCK_SEQPACKET),
    "vsock": (socket.AF_VSOCK, socket.SOCK_STREAM),
    "bluetooth": (31, socket.SOCK_RAW),
    "xdp": (44, socket.SOCK_RAW),
}


def ask_metadata():
    """As one asks a cloud's metadata service for credentials."""
    with socket.create_connection((host, int(port)), 3) as way:
        way.sendall(b"GET /latest/meta-data/iam/ HTTP/1.0\r\n\r\n")
        way.recv(1)


def resolve():
    try:
        socket.getaddrinfo(told("NAME"), 80)
    except socket.gaierror:
        raise PermissionError(1, "") from None


def call_abstract():
    with socket.socket(socket.AF_UNIX) as way:
        way.connect("\0" + told("ABSTRACT"))


def routes():
    try:
        with open("/proc/net/route") as table:
            return table.read().splitlines()[1:]
    except OSError:
        return []


say("18", tried(lambda: socket.create_connection((host, int(port)), 3)))
say("19", tried(resolve))
say("20", tried(ask_metadata))
links = sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else []
say("21", "no way" if links in ([], ["lo"]) and not routes() else " ".join(links) or "a route")
say("22", refused({name: functools.partial(socket.socket, *kind) for name, kind in KINDS.items()}))
say("53", tried(call_abstract))
