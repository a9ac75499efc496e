"""Where a server listens and what it is called: flags, socket and public address. Light, for every `--help`."""

import argparse
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from heldout.market.console import say
from heldout.market.errors import BadInput, HeldoutError

if TYPE_CHECKING:
    from heldout.market.artifacts.tls import TlsFiles

BACKLOG = 512
_USUAL_PORTS = {"http": ":80", "https": ":443"}
"""Which no browser writes."""


def add_listening_arguments(parser: argparse.ArgumentParser, port: int) -> None:
    """The flags of both servers."""
    parser.add_argument("--listen", default=f"127.0.0.1:{port}", metavar="HOST:PORT", help="default: %(default)s")
    parser.add_argument("--public-url", metavar="URL", help="the address clients use (default: http://HOST:PORT)")
    parser.add_argument("--trust-proxy", action="store_true", help="a reverse proxy on this machine names the clients")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="serve https with this PEM certificate and …")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="… its key")
    parser.add_argument(
        "--tls-self-signed", type=Path, metavar="DIR", help="serve https with a certificate made and kept in DIR"
    )
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a page elsewhere that may use this server, without cookies; may be repeated",
    )
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
        bound = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (ValueError, OSError) as problem:
        raise _cannot_listen(address, problem) from None
    # Inherited by connections. asyncio sets it for sockets that it made itself; without it a body waits up to 40 ms for
    # its head to be acknowledged.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


def _cannot_listen(address: str, problem: Exception) -> HeldoutError:
    return BadInput(f"cannot listen on {address}: {problem}", hint="choose another with --listen", code="cannot_listen")


def public_url(args: argparse.Namespace, bound: socket.socket) -> str:
    """The address clients sign for: as given, else that of the socket. Raises BadInput for one that browsers write in
    another way: they would never name this server."""
    if args.public_url:
        url = str(args.public_url).rstrip("/")
        parts = urlsplit(url)
        usual = parts.netloc.lower().rpartition("@")[2].removesuffix(_USUAL_PORTS.get(parts.scheme, ""))
        if parts.scheme not in _USUAL_PORTS or not usual or url != f"{parts.scheme}://{usual}{parts.path}":
            hint = f"write {parts.scheme or 'https'}://{usual or 'HOST'}"
            raise BadInput(f"{url!r} is no public address", hint=hint, code="bad_public_url")
        return url
    host, port = bound.getsockname()[:2]
    scheme = "https" if args.tls_cert or args.tls_self_signed else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def tls_files(args: argparse.Namespace, url: str) -> "TlsFiles | None":
    """The certificate to serve with; None for plain http. Raises BadInput."""
    if not (args.tls_cert or args.tls_key or args.tls_self_signed):
        return None
    from heldout.market.artifacts import tls

    if args.tls_self_signed and not (args.tls_cert or args.tls_key):
        files = tls.self_signed(args.tls_self_signed, [urlsplit(url).hostname or "localhost"])
        say(f"certificate signed by itself, SHA-256 {tls.fingerprint(files.cert)}")
        return files
    if args.tls_self_signed or not (args.tls_cert and args.tls_key):
        hint = "give both --tls-cert and --tls-key, or --tls-self-signed alone"
        raise BadInput("which certificate?", hint=hint, code="usage")
    return tls.given(args.tls_cert, args.tls_key)
