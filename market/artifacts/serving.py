"""Running an ASGI app on a socket, bounded in connections and in waiting."""

import asyncio
import ctypes
import socket

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from heldout.market.artifacts.gate import client_of
from heldout.market.artifacts.tls import TlsFiles

MAX_CONNECTIONS = 512
MOST_FROM_ONE = 128
"""Connections of one client; of those behind a reverse proxy only that can tell which are whose."""
HEAD_SECONDS = 5
"""In which the head of a request must arrive; bodies are watched by the gate."""
UNREAD_SECONDS = 30
"""For which an answer may wait for its reader to take a piece of some 50 kB."""
IDLE_SECONDS = 5
STOP_SECONDS = 3
KEPT_BYTES = 16 << 20
"""Of freed memory, for the next buffers."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class Hurried(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, but no client keeps others out with connections that lead to nothing.

    uvicorn alone lets one that never completes a request's head ("slowloris"), or never reads its answer, take one of
    MAX_CONNECTIONS for ever.
    """

    _peer = ""
    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = client_of({"client": self.client})
        same = sum(isinstance(each, Hurried) and each._peer == self._peer for each in self.connections)
        if same > MOST_FROM_ONE and not self.config.proxy_headers:
            transport.abort()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_head()
        else:
            self._head_came()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._was_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        self._was_read()
        super().resume_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._await_last_read()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._await_last_read()

    def _await_last_read(self) -> None:
        """A transport that is closed first sends what it holds, and waits for that as long as it takes."""
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._await_reader()

    def _await_reader(self) -> None:
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def _was_read(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def serve(app: FastAPI, bound: socket.socket, *, trust_proxy: bool = False, tls: TlsFiles | None = None) -> None:
    """Until SIGINT or SIGTERM."""
    _keep_freed_memory()
    config = uvicorn.Config(
        app,
        access_log=False,
        http=Hurried,
        limit_concurrency=MAX_CONNECTIONS,
        log_config=None,
        proxy_headers=trust_proxy,
        server_header=False,
        ssl_certfile=None if tls is None else tls.cert,
        ssl_keyfile=None if tls is None else tls.key,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=IDLE_SECONDS,
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[bound])


def _keep_freed_memory() -> None:
    """glibc would map each buffer of a transfer anew and give it back at once, and all its pages fault: mallopt(3)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES)
