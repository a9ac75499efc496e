"""`heldout store serve`: a process of its own, so that a market service that dies loses no artifact.

PUT  /v1/blobs/{sha256}    with Content-Length and a Heldout-Upload permit; hashed and limited while written
GET  /v1/blobs/{sha256}    whole or one range; HEAD for the size
     /v1/pins              on whose account what is kept: market/artifacts/pinning.py
GET  /healthz /readyz /metrics
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CollectorRegistry, Counter
from starlette.concurrency import run_in_threadpool

from heldout.market.artifacts import problems
from heldout.market.artifacts.allowance import Allowance
from heldout.market.artifacts.blob import ArtifactId, ArtifactStore, missing, parse_id, too_large
from heldout.market.artifacts.collecting import Collector, Jobs
from heldout.market.artifacts.gate import Gate
from heldout.market.artifacts.health import add_health
from heldout.market.artifacts.http import PATIENCE, SLOWEST
from heldout.market.artifacts.incoming import Incoming, Vault
from heldout.market.artifacts.keeping import Keeping
from heldout.market.artifacts.permit import HEADER, check_permit
from heldout.market.artifacts.pinning import pin_routes
from heldout.market.artifacts.throttle import Throttle
from heldout.market.errors import BadInput, HashMismatch, HeldoutError, Refused

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable", "Accept-Ranges": "bytes"}


@dataclass(frozen=True)
class StoreSettings:
    """`public_url` is what uploaders sign for; `clock` is unix time, `ticks` seconds that never go back."""

    public_url: str
    hosts: Collection[str]
    rate: float
    clock: Callable[[], float]
    ticks: Callable[[], float]
    origins: Collection[str] = ()
    """Of pages that may read and upload here."""
    chain: Jobs | None = None
    """Whose jobs are followed; without one nothing is ever removed."""
    confirmations: int = 0


def create_app(vault: Vault, allowance: Allowance, keeping: Keeping, settings: StoreSettings) -> FastAPI:
    """The app over one store; `allowance` bounds what comes in each day, `keeping` says what stays."""
    store, registry = vault, CollectorRegistry()
    collector = Collector(
        keeping, vault, settings.chain, registry, settings.clock, confirmations=settings.confirmations
    )

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(collector.reconcile)
        collector.start()
        yield
        collector.stop()

    app = FastAPI(
        title="Heldout store",
        version="1",
        lifespan=running,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    throttle = Throttle(settings.rate, 5 * settings.rate, settings.ticks)
    secure = settings.public_url.startswith("https:")
    app.add_middleware(Gate, hosts=settings.hosts, throttle=throttle, origins=settings.origins, secure=secure)
    problems.install(app)
    moved = Counter("heldout_store_bytes", "Bytes of artifacts moved", ["direction"], registry=registry)

    @app.put("/v1/blobs/{artifact}", status_code=201)
    async def put(
        artifact: str,
        request: Request,
        permit: Annotated[str, Header(alias=HEADER)],
        content_length: Annotated[int, Header()],
    ) -> JSONResponse:
        """Keep an artifact. 201 if it is new, 200 if it was here."""
        name = parse_id(artifact)
        if content_length > vault.max_blob:
            raise too_large(name, vault.max_blob)
        uploader = check_permit(permit, settings.public_url, name, content_length, settings.clock())
        here = await run_in_threadpool(store.size, name)
        if here not in (None, content_length):  # or a pin would count what its uploader says, not what is kept
            raise HashMismatch(f"{name} has {here} bytes, not {content_length}", hint="send the bytes that it names")
        new = await run_in_threadpool(keeping.pin, name, uploader, content_length)

        def pin_again() -> None:
            """Another try may have forgotten it; what its uploader may no longer keep goes, if nobody else keeps it."""
            with keeping.lock:
                try:
                    keeping.pin(name, uploader, content_length)
                except Refused:
                    keeping.forget(name, uploader)
                    if not keeping.stands(name):
                        vault.remove(name)
                    raise

        def take_back(charged: int) -> None:
            allowance.charge(uploader, -charged)
            if new and not store.has(name):
                keeping.forget(name, uploader)

        if await run_in_threadpool(store.size, name) == content_length:
            return JSONResponse({"id": name, "bytes": content_length}, 200)
        charged = 0
        try:
            await run_in_threadpool(allowance.charge, uploader, content_length)
            charged = content_length
            await _take_in(vault, request, name, content_length)
            await run_in_threadpool(pin_again)
        except BaseException:
            await asyncio.shield(run_in_threadpool(take_back, charged))
            raise
        moved.labels("in").inc(content_length)
        return JSONResponse({"id": name, "bytes": content_length}, 201)

    @app.get("/v1/blobs/{artifact}", response_class=Response)
    def get(artifact: str, range: Annotated[str | None, Header()] = None) -> StreamingResponse:
        """The bytes, or one range of them."""
        name = parse_id(artifact)
        size = _size(store, name)
        if range is None:
            moved.labels("out").inc(size)
            return _stream(store, name, 0, None, size, 200, {})
        start, end = _parse_range(range, size)
        moved.labels("out").inc(end - start)
        about = {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
        return _stream(store, name, start, end, end - start, 206, about)

    @app.head("/v1/blobs/{artifact}")
    def head(artifact: str) -> Response:
        """The size, without the bytes."""
        name = parse_id(artifact)
        return Response(headers={"Content-Length": str(_size(store, name)), "ETag": f'"{name}"', **_IMMUTABLE})

    def ready() -> None:
        """There is room for one more artifact."""
        with vault.receive(1) as incoming:
            incoming.write(b"\0")

    app.include_router(pin_routes(store, keeping, settings.public_url, settings.clock))
    add_health(app, registry, ready)
    return app


async def _take_in(vault: Vault, request: Request, name: ArtifactId, size: int) -> None:
    """Raises StoreProblem or HashMismatch; 408 as soon as the client is slower than a store can afford."""
    try:
        async with asyncio.timeout(PATIENCE) as patience, _receiving(vault, size) as incoming:
            async for piece in request.stream():
                patience.reschedule((patience.when() or 0) + len(piece) / SLOWEST)
                if incoming.add(piece):
                    await run_in_threadpool(incoming.hand_over)
            await run_in_threadpool(incoming.finish, name)
    except TimeoutError:
        raise BadInput("the upload is too slow", hint="use a faster line, or another store", code="too_slow") from None


@asynccontextmanager
async def _receiving(vault: Vault, size: int) -> AsyncIterator[Incoming]:
    incoming = await run_in_threadpool(vault.receive, size)
    try:
        yield incoming
    finally:
        await asyncio.shield(run_in_threadpool(incoming.close))


def _size(store: ArtifactStore, name: ArtifactId) -> int:
    size = store.size(name)
    if size is None:
        raise missing(name, "this store")
    return size


def _stream(
    store: ArtifactStore, name: ArtifactId, start: int, end: int | None, length: int, status: int, about: dict[str, str]
) -> StreamingResponse:
    headers = {"Content-Length": str(length), "ETag": f'"{name}"', **_IMMUTABLE, **about}
    return StreamingResponse(store.open(name, start, end), status, headers, "application/octet-stream")


def _parse_range(header: str, size: int) -> tuple[int, int]:
    """Start and end (exclusive) of `bytes=a-b`, `bytes=a-` or `bytes=-n` (RFC 9110, 14.1.2); one range only."""
    match = _RANGE.fullmatch(header)
    first, last = match.groups() if match else ("", "")
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
    else:
        start, end = (max(0, size - int(last)), size) if last else (size, size)
    if start >= end:
        raise _unsatisfiable(size)
    return start, end


def _unsatisfiable(size: int) -> HeldoutError:
    return BadInput(f"no such range: the artifact has {size} bytes", code="unsatisfiable_range")
