"""Running an ASGI app on a socket: loopback unless told otherwise, bounded in connections and in waiting."""

import argparse
import socket
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI

from heldout.market.errors import BadInput, HeldoutError

MAX_CONNECTIONS = 512
IDLE_SECONDS = 5
STOP_SECONDS = 3


def add_serving_arguments(parser: argparse.ArgumentParser, port: int) -> None:
    """The flags of both servers."""
    parser.add_argument("--listen", default=f"127.0.0.1:{port}", metavar="HOST:PORT", help="default: %(default)s")
    parser.add_argument("--public-url", metavar="URL", help="the address clients use (default: http://HOST:PORT)")
    parser.add_argument("--trust-proxy", action="store_true", help="a reverse proxy on this machine names the clients")
    parser.add_argument(
        "--rate", type=float, default=200, metavar="N", help="requests a second for each client (%(default)s)"
    )


def listen(address: str) -> socket.socket:
    """A listening socket on `host:port`; port 0 takes a free one. Raises BadInput if it cannot be had."""
    parts = urlsplit(f"//{address}")
    try:
        host, port = parts.hostname, parts.port
        if host is None or port is None:
            raise ValueError("write HOST:PORT")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=MAX_CONNECTIONS)
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


def serve(app: FastAPI, bound: socket.socket, *, trust_proxy: bool = False) -> None:
    """Until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app,
        access_log=False,
        limit_concurrency=MAX_CONNECTIONS,
        log_config=None,
        proxy_headers=trust_proxy,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=IDLE_SECONDS,
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[bound])
