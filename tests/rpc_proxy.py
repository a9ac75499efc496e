"""A JSON-RPC node in front of another one, for tests in which the RPC lags, lies, refuses or falls silent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

Handler = Callable[[str, list[Any], Callable[[], Any]], Any]
"""(method, params, ask the real node) -> the whole answer's `result`; or raises Refuse, Silent."""


class Refuse(Exception):
    """Answer an error, or with `status` a bare HTTP one."""

    def __init__(self, message: str = "", *, status: int = 200) -> None:
        super().__init__(message)
        self.status = status


class RpcProxy:
    """Listens on a free port of the loopback. `handler` may be exchanged while it runs; `calls` counts methods."""

    def __init__(self, upstream: str) -> None:
        self.handler: Handler = lambda method, params, ask: ask()
        self.upstream = upstream
        self.calls: dict[str, int] = {}
        self._client = httpx2.Client(trust_env=False)
        proxy = self

        class Request(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                try:
                    answer: Any = (
                        [proxy._answer(each) for each in body] if isinstance(body, list) else proxy._answer(body)
                    )
                    status, content = 200, json.dumps(answer).encode()
                except Refuse as refused:
                    status, content = refused.status, str(refused).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._client.close()

    def __enter__(self) -> RpcProxy:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        method, params = request["method"], request["params"]
        self.calls[method] = self.calls.get(method, 0) + 1
        real: dict[str, Any] = {}

        def ask() -> Any:
            real.update(self._client.post(self.upstream, json=request).json())
            return real.get("result")

        try:
            result = self.handler(method, params, ask)
        except Refuse as refused:
            if refused.status != 200:
                raise
            return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32005, "message": str(refused)}}
        if "error" in real and result is None:
            return real
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}
