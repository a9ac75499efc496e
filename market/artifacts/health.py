"""The three questions an operator asks a server: does it run, can it work, what does it count."""

from collections.abc import Callable

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest


def add_health(app: FastAPI, registry: CollectorRegistry, ready: Callable[[], None]) -> None:
    """`ready` raises a HeldoutError that says why the server cannot work now; its status becomes that of /readyz."""
    ProcessCollector(registry=registry)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        """The process can do its work."""
        ready()
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """Counts in Prometheus' text format."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
