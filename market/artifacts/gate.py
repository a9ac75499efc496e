"""What stands before every route of the store and the service: the right Host, not too fast, not too much.

A page in somebody's browser can reach a server on loopback by rebinding its own name to 127.0.0.1; its requests still
carry that name as Host, so only known hosts pass. CORS headers are never sent and no cookie is ever read, so no other
page can use a signed-in person's session.
"""

import asyncio
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heldout.market.artifacts.problems import problem
from heldout.market.artifacts.throttle import Throttle
from heldout.market.errors import BadInput, HeldoutError

BODY_SILENCE: Final = 10.0
"""Seconds a request's body may pause."""
_ANSWER_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Gate:
    """ASGI middleware. `body_limit` is in bytes; None leaves it to the routes."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], throttle: Throttle, body_limit: int | None = None) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._throttle = throttle
        self._body_limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ANSWER_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
        except HeldoutError as error:
            await problem(error)(scope, receive, send_with_headers)
            return
        await self._app(scope, _timely(receive), send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if headers.get("host", "") not in self._hosts:
            raise BadInput("this server does not go by that name", hint="set its --public-url", code="wrong_host")
        if self._body_limit is not None:
            _check_length(headers, self._body_limit)
        self._throttle.take(client_of(scope))


def _check_length(headers: Headers, limit: int) -> None:
    """Refuse a body that is too large, or does not say how large it is, before any of it is read."""
    if "transfer-encoding" in headers:
        raise BadInput("a request's body needs a Content-Length", code="length_required")
    announced = headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > limit:
        raise BadInput(f"a request's body may have {limit} bytes", code="too_large")


def _timely(receive: Receive) -> Receive:
    """Ends a request whose body stops arriving; afterwards `receive` only waits for the client to leave."""
    complete = False

    async def next_message() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout(BODY_SILENCE):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the request's body stopped arriving") from None
        complete = not message.get("more_body", False)
        return message

    return next_message


def client_of(scope: Scope) -> str:
    """The client's address, for limits."""
    client = scope.get("client")
    return str(client[0]) if client else "local"


def known_hosts(public_url: str, port: int) -> frozenset[str]:
    """Host headers a server answers to: its public address, and loopback by its usual names."""
    return frozenset({urlsplit(public_url).netloc, *(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))})
