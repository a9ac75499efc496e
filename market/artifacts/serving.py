"""Running an ASGI app on a socket, bounded in connections and in waiting."""

import socket

import uvicorn
from fastapi import FastAPI

MAX_CONNECTIONS = 512
IDLE_SECONDS = 5
STOP_SECONDS = 3


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
