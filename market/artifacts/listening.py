"""Where a server listens and what it is called: flags, socket and public address. Light, for every `--help`."""

import argparse
import socket
from urllib.parse import urlsplit

from heldout.market.errors import BadInput, HeldoutError

BACKLOG = 512


def add_listening_arguments(parser: argparse.ArgumentParser, port: int) -> None:
    """The flags of both servers."""
    parser.add_argument("--listen", default=f"127.0.0.1:{port}", metavar="HOST:PORT", help="default: %(default)s")
    parser.add_argument("--public-url", metavar="URL", help="the address clients use (default: http://HOST:PORT)")
    parser.add_argument("--trust-proxy", action="store_true", help="a reverse proxy on this machine names the clients")
    parser.add_argument(
        "--rate", type=float, default=200, metavar="N", help="requests a second per client (%(default)s)"
    )


def listen(address: str) -> socket.socket:
    """A listening socket on `host:port`; port 0 takes a free one. Raises BadInput if it cannot be had."""
    parts = urlsplit(f"//{address}")
    try:
        host, port = parts.hostname, parts.port
        if host is None or port is None:
            raise ValueError("write HOST:PORT")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (ValueError, OSError) as problem:
        raise _cannot_listen(address, problem) from None


def _cannot_listen(address: str, problem: Exception) -> HeldoutError:
    return BadInput(f"cannot listen on {address}: {problem}", hint="choose another with --listen", code="cannot_listen")


def public_url(args: argparse.Namespace, bound: socket.socket) -> str:
    """The address clients sign for: as given, else that of the socket."""
    if args.public_url:
        return str(args.public_url).rstrip("/")
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
