"""What clients may ask beside the whole: not again what they have, by an ETag over every body; or the head alone."""

from hashlib import sha256
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STREAMS: Final = "text/event-stream"


class Tagged:
    """ASGI middleware. The tag is weak: compression further out changes the bytes, not what they say."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        known = {tag.strip() for tag in Headers(scope=scope).get("if-none-match", "").split(",")}
        await self._app(scope, receive, _Holder(send, known).send)


class HeadAsGet:
    """ASGI middleware: what can be read can be asked for its headers alone (RFC 9110, 9.3.2), but for streams, which
    have no end to wait for."""

    def __init__(self, app: ASGIApp, but: str) -> None:
        self._app, self._but = app, but

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        if scope["type"] == "http" and scope["method"] == "HEAD" and scope["path"] != self._but:
            await self._app({**scope, "method": "GET"}, receive, send_head)
        else:
            await self._app(scope, receive, send)


class _Holder:
    """Holds an answer back until it is whole."""

    def __init__(self, send: Send, known: set[str]) -> None:
        self._send, self._known = send, known
        self._start: Message | None = None
        self._body: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = Headers(raw=message["headers"]).get("content-type", "")
            if message["status"] == 200 and not kind.startswith(_STREAMS):
                self._start = message
                return
        elif self._start is not None:
            self._body.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._finish(self._start)
            return
        await self._send(message)

    async def _finish(self, start: Message) -> None:
        body = b"".join(self._body)
        headers = MutableHeaders(raw=start["headers"])
        tag = f'W/"{sha256(body).hexdigest()[:24]}"'
        headers["ETag"] = tag
        headers.setdefault("Cache-Control", "no-cache")
        if tag in self._known or "*" in self._known:
            del headers["content-length"]
            start["status"], body = 304, b""
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
