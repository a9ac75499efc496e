"""The keeper's server: it takes keys in, and tells what answers a demand. It holds no money and sends no transaction.

    PUT /v1/keys              a line as `heldout requester lend` makes it, but wrapped to the keeper
    GET /v1/answers/{job}     the envelopes for `answer`, while the chain demands them of the requester (P4.5)

Nobody signs in: whoever has the keys has shown them, and what answers a demand is sealed and about to be on chain.
"""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol

from fastapi import FastAPI, Path, Request, Response
from pydantic import BaseModel, Field

from heldout.market.artifacts import problems
from heldout.market.artifacts.gate import Gate, client_of
from heldout.market.artifacts.throttle import Throttle
from heldout.market.messages import hexed
from heldout.market.terms import Address, JobId

LONGEST_LINE: Final = 16 << 10
"""Characters; 64 keys take 7,000."""
_LINES_PER_S: Final = 0.2


class Keeps(Protocol):
    """What the server is a door to."""

    def take(self, line: str) -> Address:
        """Keep the keys in a line; whose they are. Raises BadInput, Refused."""

    def answer(self, job: JobId) -> bytes:
        """What the requester puts on chain now. Raises Refused, NotFound, ChainProblem."""


@dataclass(frozen=True)
class KeeperSettings:
    """`origins` are the pages that may hand keys over; `running` is entered while the server runs."""

    url: str
    hosts: Collection[str]
    origins: Collection[str]
    rate: float
    ticks: Callable[[], float]
    running: Callable[[], AbstractContextManager[object]]


class Handing(BaseModel):
    """Keys of one data set, in one line."""

    line: str = Field(min_length=1, max_length=LONGEST_LINE)


def create_app(keeps: Keeps, settings: KeeperSettings) -> FastAPI:
    """The app; the keeper works while it runs."""

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        with settings.running():
            yield

    app = FastAPI(title="Heldout keeper", lifespan=running, openapi_url=None, docs_url=None, redoc_url=None)
    lines = Throttle(_LINES_PER_S, 100 * _LINES_PER_S, settings.ticks)
    requests = Throttle(settings.rate, 5 * settings.rate, settings.ticks)
    secure = settings.url.startswith("https:")
    limit = LONGEST_LINE + 100
    app.add_middleware(
        Gate, hosts=settings.hosts, throttle=requests, body_limit=limit, origins=settings.origins, secure=secure
    )
    problems.install(app)

    @app.put("/v1/keys")
    def take(handed: Handing, request: Request, response: Response) -> Any:
        lines.take(client_of(request.scope))
        response.headers["Cache-Control"] = "no-store"
        return {"kept_for": keeps.take(handed.line)}

    @app.get("/v1/answers/{job}")
    def answer(job: Annotated[str, Path(pattern="^0x[0-9a-f]{64}$")], response: Response) -> Any:
        response.headers["Cache-Control"] = "no-store"
        return {"answer": hexed(keeps.answer(JobId(job)))}

    return app
