"""What stands before every route of the store and the service: the right Host, not too fast, not too much.

A page in somebody's browser can reach a server on loopback by rebinding its own name to 127.0.0.1; its requests still
carry that name as Host, so only known hosts pass. Pages of other origins get leave to read and write only if these are
named at start, and never with cookies; what any other page would change is refused.

    Host       one of `hosts`                                        else 421
    Origin     absent, this server's own, or one of `origins`        else, for what is not GET or HEAD, 403
               own means https where the server is reached by that; without one, no cookie counts for what changes
"""

import asyncio
from collections.abc import Collection
from ipaddress import IPv6Address, IPv6Network
from math import inf
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heldout.market.artifacts.problems import problem
from heldout.market.artifacts.throttle import Throttle
from heldout.market.errors import BadInput, HeldoutError, Refused

BODY_SILENCE: Final = 10.0
"""Seconds a request's body may pause."""
BODY_SECONDS: Final = 30.0
"""In which the whole of a limited body must arrive."""
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_LOOPBACK: Final = ("127.0.0.1:", "localhost:", "[::1]:")
_ANSWER_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CORS_HEADERS: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, PUT, POST, DELETE",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Heldout-Account, Heldout-Upload, Idempotency-Key, If-None-Match, "
        "Last-Event-ID, Range"
    ),
    "Access-Control-Expose-Headers": "ETag, RateLimit, RateLimit-Policy, Retry-After",
    "Access-Control-Max-Age": "600",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


class Gate:
    """ASGI middleware. `body_limit` is in bytes; None leaves it to the routes. `secure`: reached by https."""

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str],
        throttle: Throttle,
        body_limit: int | None = None,
        origins: Collection[str] = (),
        secure: bool = False,
    ) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._throttle = throttle
        self._body_limit = body_limit
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        added = dict(_ANSWER_HEADERS)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
                if self._origins:
                    headers.add_vary_header("Origin")
            await send(message)

        try:
            preflight = self._check(scope, added)
        except HeldoutError as error:
            await problem(error)(scope, receive, send_with_headers)
            return
        app = Response(status_code=204) if preflight else self._app
        await app(scope, _timely(receive, inf if self._body_limit is None else BODY_SECONDS), send_with_headers)

    def _check(self, scope: Scope, added: dict[str, str]) -> bool:
        """Whether it is a browser's question before a request, which is answered here. Adds headers for the answer."""
        headers = Headers(scope=scope)
        if headers.get("host", "") not in self._hosts:
            raise BadInput("this server does not go by that name", hint="set its --public-url", code="wrong_host")
        preflight = self._check_origin(scope, headers, added)
        _check_length(headers, self._body_limit)
        left = self._throttle.take(client_of(scope))
        full = (self._throttle.burst - left) / self._throttle.rate
        added["RateLimit-Policy"] = (
            f'"client";q={self._throttle.burst:.0f};w={self._throttle.burst / self._throttle.rate:.0f}'
        )
        added["RateLimit"] = f'"client";r={left:.0f};t={full:.0f}'
        return preflight

    def _check_origin(self, scope: Scope, headers: Headers, added: dict[str, str]) -> bool:
        origin, method = headers.get("origin"), scope["method"]
        if origin is None:
            if method not in _SAFE:
                _without_cookies(scope)
            return False
        kind, _, host = origin.partition("://")
        if host in self._hosts and (kind == "https" or not self._secure or host.startswith(_LOOPBACK)):
            return False
        if origin in self._origins:
            added |= {**_CORS_HEADERS, "Access-Control-Allow-Origin": origin}
            _without_cookies(scope)
            return method == "OPTIONS" and "access-control-request-method" in headers
        if method not in _SAFE:
            hint = "open the page at the server's own address, or name its origin with --allow-origin"
            raise Refused(f"pages of {origin[:100]!r} may not write here", hint=hint, code="wrong_origin")
        return False


def _without_cookies(scope: Scope) -> None:
    scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"cookie"]


def _check_length(headers: Headers, limit: int | None) -> None:
    """Refuse a body that is too large, or does not say how large it is, before any of it is read.

    A body in chunks ends where it likes, whatever a Content-Length beside them says (RFC 9112, 6.3).
    """
    if "transfer-encoding" in headers:
        raise BadInput("a request's body needs a Content-Length", code="length_required")
    if limit is None:
        return
    announced = headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > limit:
        raise BadInput(f"a request's body may have {limit} bytes", code="too_large")


def _timely(receive: Receive, seconds: float) -> Receive:
    """Ends a request whose body stops arriving, or is not there after so many seconds; afterwards `receive` only waits
    for the client to leave."""
    complete, now = False, asyncio.get_running_loop().time
    end = now() + seconds

    async def next_message() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(min(now() + BODY_SILENCE, end)):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the request's body stopped arriving, or came too slowly") from None
        complete = not message.get("more_body", False)
        return message

    return next_message


def client_of(scope: Scope) -> str:
    """The client's address, for limits: of IPv6 its network of 64 bits, since one machine has all addresses of that. As
    proxies write IPv4 in IPv6 (RFC 4291, 2.5.5.2), all of it would be one network."""
    host = str(scope["client"][0]) if scope.get("client") else "local"
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    return str(address.ipv4_mapped or IPv6Network((address, 64), strict=False))


def known_hosts(public_url: str, port: int) -> frozenset[str]:
    """Host headers a server answers to: its public address, and loopback by its usual names."""
    return frozenset({urlsplit(public_url).netloc, *(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))})
