"""Answers that are still good are given again, compressed as they are: what the index says changes with a block, with
a letter, or not at all.

    block indexed ─┐
    letter taken  ─┼─▶ Generation.next() ─▶ nothing kept before is given again
    SECONDS pass  ─┘   (for the words that count from the present block time)

Kept is only what anybody may see: no request with a session or a cookie is looked up, and none of its answers is kept.
"""

from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Final, NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS: Final = 5.0
MOST: Final = 512
MOST_BYTES: Final = 128 << 10
"""Of one answer."""
MOST_HELD: Final = 8 << 20
"""Of all of them: whoever asks for what differs by a word fills no memory."""
_NEVER: Final = ("/v1/auth/", "/v1/account", "/v1/mailbox", "/v1/events", "/healthz", "/readyz", "/metrics", "/static/")


class Generation:
    """A number that is another one after every change. Safe for threads."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.value = 0

    def next(self) -> None:
        self.value = next(self._numbers)


class _Answer(NamedTuple):
    generation: int
    until: float
    start: Message
    body: bytes


Key = tuple[bytes, bytes, bool]


class Kept:
    """ASGI middleware, outside of compression. `ticks` gives seconds that never go back."""

    def __init__(
        self, app: ASGIApp, generation: Generation, ticks: Callable[[], float], seconds: float = SECONDS
    ) -> None:
        self._app, self._generation, self._ticks, self._seconds = app, generation, ticks, seconds
        self._answers: OrderedDict[Key, _Answer] = OrderedDict()
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            return await self._app(scope, receive, self._announcing(send))
        headers = Headers(scope=scope)
        if scope["method"] != "GET" or not _is_for_all(scope["path"], headers):
            return await self._app(scope, receive, send)
        key = (scope["path"].encode(), scope["query_string"], "gzip" in headers.get("accept-encoding", ""))
        if (answer := self._fresh(key)) is not None:
            return await _give(answer, headers.get("if-none-match", ""), send)
        await self._app(scope, receive, _Copying(self, key, self._generation.value, send).send)

    def _announcing(self, send: Send) -> Send:
        """Whoever is answered that something was written can read it from then on."""

        async def announce(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._generation.next()
            await send(message)

        return announce

    def _fresh(self, key: Key) -> _Answer | None:
        answer = self._answers.get(key)
        if answer is None or answer.generation != self._generation.value or answer.until <= self._ticks():
            return None
        self._answers.move_to_end(key)
        return answer

    def keep(self, key: Key, generation: int, start: Message, body: bytes) -> None:
        self._forget(self._answers.pop(key, None))
        self._answers[key] = _Answer(generation, self._ticks() + self._seconds, start, body)
        self._held += len(body)
        while len(self._answers) > MOST or self._held > MOST_HELD:
            self._forget(self._answers.popitem(last=False)[1])

    def _forget(self, answer: _Answer | None) -> None:
        self._held -= 0 if answer is None else len(answer.body)


class _Copying:
    """Passes an answer on, and keeps it if it is a whole one that may be kept."""

    def __init__(self, kept: Kept, key: Key, generation: int, send: Send) -> None:
        self._kept, self._key, self._generation, self._send = kept, key, generation, send
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            headers = Headers(raw=message["headers"])
            may = "set-cookie" not in headers and "no-store" not in headers.get("cache-control", "")
            # Whoever is further out adds headers to the list that it is given: what is kept is a copy.
            self._start = {**message, "headers": list(message["headers"])} if may else None
        elif self._start is not None:
            self._body += message.get("body", b"")
            if len(self._body) > MOST_BYTES:
                self._start = None
            elif not message.get("more_body", False):
                self._kept.keep(self._key, self._generation, self._start, self._body)
        await self._send(message)


def _is_for_all(path: str, headers: Headers) -> bool:
    return "authorization" not in headers and "cookie" not in headers and not path.startswith(_NEVER)


async def _give(answer: _Answer, known: str, send: Send) -> None:
    headers = list(answer.start["headers"])
    start, body = {**answer.start, "headers": headers}, answer.body
    if known and Headers(raw=headers).get("etag", "") in {tag.strip() for tag in known.split(",")}:
        start = {**start, "status": 304, "headers": [(k, v) for k, v in headers if k != b"content-length"]}
        body = b""
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})
